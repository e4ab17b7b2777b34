"""One normaliser and one tokeniser, used by ids, dedup and tests alike, and codes of languages. Pure Python."""

import codecs
import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence, Set
from functools import lru_cache
from typing import overload

import regex

# What is not seen: soft hyphens, zero-width characters, marks of direction, variation selectors (Default_Ignorable_Code_Point)
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
# Hebrew and Arabic are written with or without them: points, accents, vowel signs, and the bar that lengthens a word
_POINTS = re.compile(
    "[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u0652\u0656-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8"
    "\u06ea-\u06ed]+"
)
# Letters of scripts that put no space between words: such that most words are of one or two, and such that they are of more
IDEOGRAPH = r"[[\p{L}]&&[\p{Script=Han}\p{Script=Hiragana}]]"
UNSPACED = r"[[\p{L}]&&[\p{Line_Break=SA}\p{Script=Javanese}\p{Script=Balinese}]]"  # Thai, Lao, Burmese, Khmer, ...
LETTER = rf"[[\p{{L}}\p{{N}}_]--{IDEOGRAPH}--{UNSPACED}]"
MARK = r"\p{M}"
PAIR, TRIPLE = 2, 3  # letters of a token of IDEOGRAPH, of UNSPACED
_WORD = regex.compile(
    rf"(?V1)(?P<ideographs>(?:{IDEOGRAPH}{MARK}*)+)|(?P<unspaced>(?:{UNSPACED}{MARK}*)+)|{LETTER}(?:{LETTER}|{MARK})*"
)
_WITH_MARKS = regex.compile(rf"(?V1)[\p{{L}}]{MARK}*")
# ASCII, folded, and a space for whatever is in no word
_ASCII_WORDS = "".join(chr(code).lower() if re.fullmatch(r"\w", chr(code)) else " " for code in range(128))
COPIED_WORDS = 12  # so many consecutive words of another text are a quotation
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_SENTENCE_END = re.compile(r"[.!?](?=[\s\"')\]])|[。！？\n]")


def normalise(text: str) -> str:
    """Without what is not seen, NFKC, casefold, every run of whitespace to one space, stripped."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))
    return " ".join(text.casefold().split())


def unpointed(text: str) -> str:
    """The normalised text without the points of Hebrew and Arabic: what is cut into words."""
    return _POINTS.sub("", normalise(text))


@overload
def storable(text: str, max_characters: int | None = None) -> str: ...


@overload
def storable(text: None, max_characters: int | None = None) -> None: ...


def storable(text: str | None, max_characters: int | None = None) -> str | None:
    """The first `max_characters`; half a surrogate pair, which a JSON escape can hold and no table or journal can, becomes a "?"."""
    return None if text is None else text[:max_characters].encode("utf-8", "replace").decode()


def words(text: str) -> list[str]:
    """The words of the normalised text, in order: letters, digits and underscores, each with its combining marks.

    They are those of Unicode's rules (UAX 29), with two exceptions. Punctuation always ends a word: which apostrophe is written makes
    no difference. Scripts without spaces, which UAX 29 leaves to dictionaries, are cut into overlapping runs of letters, shorter at both
    ends, so that each letter is in as many: two of Chinese and hiragana, three of Thai, Lao, Burmese, Khmer and the like. Points of Hebrew
    and Arabic count for nothing.
    """
    if text.isascii():  # the same words, at a fifth of the cost
        return text.translate(_ASCII_WORDS).split()
    found: list[str] = []
    for match in _WORD.finditer(unpointed(text)):
        if match.lastgroup is None:
            found.append(match[0])
        else:
            letters, length = _WITH_MARKS.findall(match[0]), PAIR if match.lastgroup == "ideographs" else TRIPLE
            found += ("".join(letters[max(0, end - length) : end]) for end in range(1, len(letters) + length))
    return found


def tokens(text: str, unit: str = "word", ngram: int = 1) -> frozenset[str]:
    """The set that near-duplicates are compared by: runs of `ngram` words, or of `ngram` characters of the normalised text.

    A text shorter than one run is a run of its own; a text without any word (or character) has no tokens.
    """
    units = words(text) if unit == "word" else list(normalise(text))
    joint = " " if unit == "word" else ""
    if len(units) < ngram:
        return frozenset([joint.join(units)] if units else [])
    return frozenset(joint.join(units[start : start + ngram]) for start in range(len(units) - ngram + 1))


def copied_run(words: Sequence[str], source: Sequence[str], shared: Set[str], length: int = COPIED_WORDS) -> str | None:
    """The first run of `length` of `words` that also stands in `source`, joined by spaces; in time linear in both.

    shared: the words that occur in both, or all that occur in `source`.
    """
    runs: Set[tuple[str, ...]] | None = None  # made for the few texts that share all words of some run
    start = 0
    while start <= len(words) - length:
        last = start + length - 1
        while last >= start and words[last] in shared:
            last -= 1
        if last >= start:  # no run contains a word that is not shared
            start = last + 1
            continue
        if runs is None:
            runs = {tuple(source[at : at + length]) for at in range(len(source) - length + 1)}
        if (run := tuple(words[start : start + length])) in runs:
            return " ".join(run)
        start += 1
    return None


def cut_at_sentence(text: str, limit: int) -> str:
    """The longest prefix of at most `limit` characters that ends with a sentence, else with a word, else at the limit."""
    if len(text) <= limit:
        return text
    head = text[:limit]
    # looks one character beyond the limit: "3." of "3.14" ends no sentence
    ends = [end.end() for end in _SENTENCE_END.finditer(text, 0, limit + 1) if end.end() <= limit]
    if ends and ends[-1] >= limit // 2:
        return head[: ends[-1]].rstrip()
    space = head.rfind(" ")
    return head[:space].rstrip() if space >= limit // 2 else head


def decoded(raw: bytes) -> str:
    """The text of a file as spreadsheets and editors save it: by its byte order mark, else UTF-8, else Windows' Western code page.

    Raises UnicodeDecodeError.
    """
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252")


def printable(text: str) -> str:
    """Without control characters, those of direction too, but for the ends of lines and tabs."""
    return _CONTROL.sub("", text)


def error_line(message: str) -> str:
    """The line of an engine's message that tells what happened: the last one of a Python traceback in it, else the first with anything."""
    lines = [line.strip() for line in message.splitlines() if line.strip()] or [""]
    return next((line for line in reversed(lines) if re.match(r"[\w.]+(Error|Exception)\b", line)), lines[0])


def nearest(word: str, candidates: Iterable[str], prefix: str = "") -> str:
    """The tail of an error message about an unknown name: the nearest right one, else all of them."""
    candidates = list(candidates)
    near = difflib.get_close_matches(word, candidates, n=1, cutoff=0.4)
    full = [f"{prefix}.{name}" if prefix else name for name in near or sorted(candidates)]
    if near:
        return f"; did you mean {full[0]}?"
    return f"; known here: {', '.join(full)}" if full else ""


@lru_cache(maxsize=10_000)
def language_code(code: str) -> str:
    """The shortest code of a language, without script and region: de for deu, ger, de-AT and deu_Latn; zh for cmn_Hani."""
    import langcodes  # 30 ms, and few need it

    try:
        return langcodes.Language.get(code).prefer_macrolanguage().language or code.casefold()
    except (langcodes.LanguageTagError, ValueError):
        return code.casefold()
