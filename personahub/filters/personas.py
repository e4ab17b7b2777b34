"""What makes a persona unfit. The patterns are kept narrow: of 2,500 published personas 17 are refused as companies (not_a_person.py),
35 that name a person (names.py), 10 that speak of an unseen text or person (mentions.py), and 1 of two words.
"""

import re
from functools import lru_cache
from typing import NamedTuple

import regex

from personahub.config import PersonaFilters
from personahub.filters.mentions import person_meant, text_meant
from personahub.filters.names import person_named
from personahub.filters.not_a_person import not_a_person
from personahub.filters.prompt_words import copied_from, subject_taken
from personahub.text import COPIED_WORDS, IDEOGRAPH, MARK, UNSPACED, copied_run, words

Verdict = tuple[str, str] | None  # (reason, detail), or None: fit

MIN_LANGUAGE_CHARACTERS = 40  # shorter texts get no verdict: the identifier guesses there

_REFUSAL = re.compile(
    r"(?:i['’]?m|i am|we are|we['’]re)\s+(?:(?:so|very|really|truly|terribly)\s+)?sorry\b|"
    r"(?:sorry|apologies),?\s+(?:but\s+)?(?:i|we|as an)\b|"
    r"my apologies|i apologi[sz]e|"
    r"(?:unfortunately,?\s+)?i\s+(?:can\s?not|can['’]t|am (?:unable|not able) to|won['’]t|will not|must decline)\s*"
    r"(?:to )?(?:assist|help(?! but)|provide|generate|create|fulfil|comply|identify|determine|infer|produce)|"
    r"(?:as|i am|i['’]m)\s+(?:just\s+|only\s+)?an?\s+"
    r"(?:ai|artificial intelligence|(?:ai |large )?language model|ai (?:assistant|model))"
    r"\s*(?:,|\.|i\b|and\s+(?:i\s+)?(?:can|do|am|cannot))|"
    r"lo siento|como (?:una? )?(?:modelo de lengua|inteligencia artificial)|"
    r"(?:je suis )?désolée?,|en tant qu(?:e modèle de langage|['’](?:ia|intelligence artificielle)\b)|"
    r"(?:es )?tut mir leid|als (?:ki|ki-(?:sprach)?modell|(?:großes )?sprachmodell)(?![\w-])|"
    r"mi dispiace|come (?:un )?modello linguistico|"
    r"desculpe|sinto muito|como (?:um )?modelo de linguagem|"
    r"(?:很|非常)?抱歉|对不起|作为(?:一个|一名)?(?:ai|人工智能)?(?:语言模型|助手|模型)?[，,]?我|申し訳|"
    r"(?:к сожалению|извините|простите),?\s+(?:но\s+)?я|как (?:языковая модель|ии)(?![\w-])",
    re.I,
)
_TEMPLATE = re.compile(
    r"\{\{|\}\}|\{%|%\}|<\|\w+|</?\s*(?:personas?|text|document|source|instructions?|input|output|think|relation)\b[^<>]*>|"
    r"\[(?:insert|your|name|text|persona|placeholder)\b[^\]]{0,1000}\]|[\"']personas?[\"']\s*:|"
    r"\b(?:is|are|would be)?\s*likely to (?:read|write|like|dislike) (?:the|this) (?:following |given )?(?:text|document)\b|"
    r"\bdescription of (?:one|a) hypothetical person\b|\bunderstood without the text\b|"
    r"\b(?:your (?:response|answer|output)|the personas?) (?:should|must) (?:be|start|begin|always)\b|"
    r"\b(?:here (?:is|are)|below (?:is|are)) (?:a|the|some|\w+)?\s*(?:possible |likely |fine-grained )*personas?\b",
    re.I,
)
# the lookbehind: one try a word, not one from each of its letters
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}\b", re.I)
_PHONE = re.compile(
    r"(?<![\w.+])(?:\+\d[\d\s().-]{7,}\d|\(\d{2,5}\)\s?\d{3,4}[\s.-]?\d{3,4}|\d{3}[\s.-]\d{3}[\s.-]\d{4}|"
    r"0\d{1,4}[\s/-]\d{3,4}[\s-]?\d{3,5})(?![\w-])|\b(?:phone|tel|telephone|whatsapp|mobile|call)\b\D{0,12}\d[\d\s().-]{6,}\d",
    re.I,
)
_MINOR = (
    r"(?:child|children|minors?|kids?|toddlers?|infants?|preteens?|teens?|teenagers?|schoolgirls?|schoolboys?|underage|"
    r"(?:young|little) (?:girl|boy)s?)"
)
_SEXUAL = r"(?:sexual|sexually|sex|erotic\w*|porn\w*|nudes?|naked|lusts?|seduc\w+|molest\w*)"
_SEXUAL_MINOR = re.compile(
    rf"\b{_SEXUAL}\W+(?:\w+\W+){{0,4}}{_MINOR}\b|\b{_MINOR}\W+(?:\w+\W+){{0,2}}{_SEXUAL}\b|\bp(?:a|ae)?edophil\w*", re.I
)
_PROTECTIVE = re.compile(
    r"abus|assault|traffick|educat|teach|prevent|surviv|victim|protect|against|counsel|therap|health|advoca|investigat|detective|police|"
    r"lawyer|law |legal|prosecut|judge|psycholog|psychiat|social worker|research|journalis|campaign|combat|fight|"
    r"concern|parent|mother|father",
    re.I,
)
_SLUR = re.compile(r"\b(?:nigg(?:er|a)s?|fagg?ots?|kikes?|wetbacks?|ragheads?|towelheads?|gooks?|untermensch\w*)\b", re.I)
_VIOLENT = re.compile(
    r"\b(?:wants?|plans?|plotting|planning|hopes?|desires?|enjoys?|loves?|likes?|eager|seeks?|fantasi[sz]es about)\s+(?:to\s+)?"
    r"(?:rap(?:e|ing)|(?:kill|murder|massacre|tortur|lynch|exterminat)(?:e|ing)?\s+(?:\w+\s+){0,2}?"
    r"(?:people|women|men|children|kids|jews|muslims|christians|blacks|gays|immigrants|innocents?|civilians|strangers))\b",
    re.I,
)
# without one of these none of the three above is found, and to look for a word costs little
_STEMS = (
    *("sex", "erotic", "porn", "nude", "naked", "lust", "seduc", "molest", "edophil"),
    *("nigg", "fag", "kike", "wetback", "raghead", "towelhead", "gook", "untermensch"),
    *("rape", "raping", "kill", "murder", "massacre", "tortur", "lynch", "exterminat"),
)
_UNSPACED = regex.compile(rf"(?V1)(?:{IDEOGRAPH}|{UNSPACED}|\p{{Script=Katakana}}){MARK}*")
_LEADING = " \t\r\n\"'“”‘’«»*-–—•:：#`("


class Shown(NamedTuple):
    """What the model saw. parent: the text or the persona that it was asked about; prompt: the prompt's own words, without that."""

    parent: str = ""
    prompt: str = ""


def persona_reason(persona: str, shown: Shown, filters: PersonaFilters) -> Verdict:
    """Why a persona is refused, as (reason, detail), or None.

    shown: what it was made from. A word is what stands between spaces; in scripts without spaces, two characters count as one.
    """
    for check in PERSONA_CHECKS:
        verdict = check(persona, shown, filters)
        if verdict is not None:
            return verdict
    return None


def language(text: str) -> str | None:
    """The ISO 639-1 code of the text by py3langid, offline; None below 40 characters. The model loads once a process (0.2 s).

    Nigerian Pidgin (pcm) counts as English: the identifier takes short English for it, 10 times in 2,500 real personas.
    """
    text = text.strip()
    if len(text) < MIN_LANGUAGE_CHARACTERS:
        return None
    import py3langid

    code = str(py3langid.classify(text)[0])
    return "en" if code == "pcm" else code


def count_words(text: str) -> int:
    """Words between spaces; in scripts without spaces (Chinese, Japanese, Thai, ...) two characters count as one word."""
    if text.isascii():
        return len(text.split())
    unspaced = len(_UNSPACED.findall(text))
    return len(_UNSPACED.sub(" ", text).split()) + (unspaced + 1) // 2


def refusal_in(text: str) -> str | None:
    """How the model declines, at the start: English, Spanish, French, German, Italian, Portuguese, Chinese, Japanese, Russian."""
    found = _REFUSAL.match(text.strip(_LEADING))
    return found.group() if found else None


def _refusal(persona: str, shown: Shown, filters: PersonaFilters) -> Verdict:
    found = refusal_in(persona)
    return ("refusal", found) if found else None


def _copied_prompt(persona: str, shown: Shown, filters: PersonaFilters) -> Verdict:
    """Leftovers of a template, the prompt's own words (an instruction, a relation's meaning, the example), or a run of COPIED_WORDS words
    of the parent.
    """
    if found := _TEMPLATE.search(persona):
        return "copied_prompt", found.group().strip()
    if shown.prompt and (copied := copied_from(persona, shown.prompt)):
        return "copied_prompt", f"the prompt's own words: {copied}"
    if subject := subject_taken(persona, shown.parent, shown.prompt):
        return "copied_prompt", f"the subject of the prompt's example: {subject}"
    own = words(persona)
    run = copied_run(own, *_words_of(shown.parent)) if len(own) >= COPIED_WORDS else None
    return ("copied_prompt", f"{COPIED_WORDS} words of the parent: {run}") if run else None


def _needs_the_prompt(persona: str, shown: Shown, filters: PersonaFilters) -> Verdict:
    """It speaks of the text that it was made from, or of the person who was asked about: alone it is not understood."""
    found = text_meant(persona) or person_meant(persona)
    return ("not_self_contained", found) if found else None


@lru_cache(maxsize=16)  # the personas of one text come one after another
def _words_of(text: str) -> tuple[list[str], frozenset[str]]:
    found = words(text)
    return found, frozenset(found)


def _not_a_person(persona: str, shown: Shown, filters: PersonaFilters) -> Verdict:
    found = not_a_person(persona)
    return ("not_a_person", found) if found else None


def _contact(persona: str, shown: Shown, filters: PersonaFilters) -> Verdict:
    """An e-mail address or a telephone number. The detail does not repeat it."""
    if _EMAIL.search(persona):
        return "contact", "an e-mail address"
    return ("contact", "a telephone number") if _PHONE.search(persona) else None


def unsafe_in(text: str) -> str | None:
    """What is unsafe, by a lexical heuristic, no judgement: a sexual word close to a minor (unless a word of protection stands by), a slur
    from a short English list, a stated wish to rape or to kill people. It misses much and knows English only.
    """
    folded = text.casefold()
    if not any(stem in folded for stem in _STEMS):
        return None
    if _SEXUAL_MINOR.search(text) and not _PROTECTIVE.search(text):
        return "sexual content about minors"
    if _SLUR.search(text):
        return "a slur"
    return "violence" if _VIOLENT.search(text) else None


def _unsafe(persona: str, shown: Shown, filters: PersonaFilters) -> Verdict:
    found = unsafe_in(persona) if filters.unsafe else None
    return ("unsafe", found) if found else None


def _names_a_person(persona: str, shown: Shown, filters: PersonaFilters) -> Verdict:
    """A full name, of the person described or of someone close (see names.py). The detail does not repeat it."""
    return ("names_a_person", "a full name") if filters.names and person_named(persona) else None


def _persona_too_short(persona: str, shown: Shown, filters: PersonaFilters) -> Verdict:
    count = count_words(persona)
    return ("too_short", f"{count} words < {filters.min_words}") if count < filters.min_words else None


def _persona_too_long(persona: str, shown: Shown, filters: PersonaFilters) -> Verdict:
    count = count_words(persona)
    return ("too_long", f"{count} words > {filters.max_words}") if count > filters.max_words else None


def _wrong_language(persona: str, shown: Shown, filters: PersonaFilters) -> Verdict:
    found = language(persona) if filters.languages else None
    return ("wrong_language", found) if found is not None and found not in filters.languages else None


PERSONA_CHECKS = (
    _not_a_person,
    _refusal,
    _copied_prompt,
    _needs_the_prompt,
    _contact,
    _unsafe,
    _names_a_person,
    _persona_too_short,
    _persona_too_long,
    _wrong_language,
)
