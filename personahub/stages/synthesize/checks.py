"""What makes an answer a reject, by the names that task files use. Each is narrow: what it can not tell passes."""

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from typing import Any

import orjson

from personahub import filters
from personahub.errors import ConfigError
from personahub.filters.personas import count_words, language
from personahub.filters.prompt_words import copied_from, subject_taken
from personahub.filters.quantities import NUMBERED, quantity_in
from personahub.llm import json_answers
from personahub.stages.synthesize.code_check import why_no_code
from personahub.text import COPIED_WORDS, copied_run, nearest, normalise, words

MIN_CHARACTERS = 20
ALIKE = 0.8  # Jaccard similarity of the words with an example's, from which on it is a variation
MIN_LORE_NAMES = 3  # names of the lore that a character of its world must use
_ASKS = re.compile(
    r"[?？؟]|求|计算|計算|证明|証明|"
    r"\b(?:find|determine|calculate|compute|evaluate|prove|show that|solve|derive|estimate|maximi[sz]e|minimi[sz]e|express|simplify|"
    r"what is|what are|how (?:many|much|long|far|often|likely))\b",
    re.IGNORECASE,
)
_ANSWER = re.compile(
    r"^\W*(?:(?:the )?(?:final |correct )?(?:answer|solution)|答案|解答)\W{0,4}(?:is\b|[:：=是])|\\boxed\b",
    re.IGNORECASE | re.MULTILINE,
)
_ANSWER_STEMS = ("answer", "solut", "答案", "解答", "boxed")  # one of them stands in whatever _ANSWER finds
_SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_CAPITALISED = re.compile(r"(?<![.!?:\n#*-] )(?<!^)\b[A-Z][\w'’-]{2,}", re.MULTILINE)

Verdict = tuple[str, str] | None  # (reason, detail), or None: fit


@dataclass(frozen=True, slots=True)
class Answer:
    """What a check sees. text: the content's text_field; examples: those that the request showed; settings: the task's; constants: of the
    prompt, with the texts of files; prompt: its own words, without the data.
    """

    content: Mapping[str, Any]
    text: str
    persona: str
    examples: Sequence[str]
    settings: Mapping[str, Any]
    constants: Mapping[str, Any]
    prompt: str = ""


Check = Callable[[Answer], Verdict]


def check_of(entry: Any, fields: Mapping[str, Any]) -> Check:
    """The check of an entry: a name, {name: value}, or "module:function" (called with an Answer, and the value). Raises ConfigError."""
    name, value = next(iter(entry.items())) if isinstance(entry, dict) and len(entry) == 1 else (entry, None)
    if not isinstance(name, str):
        raise ConfigError(f"checks: {entry!r} is neither a name nor {{name: value}}")
    check = _own(name) if ":" in name else CHECKS.get(name)
    if check is None:
        raise ConfigError(f"checks: there is no check {name!r}{nearest(name, CHECKS)}")
    if missing := _FIELDS.get(name, set()) - fields.keys():
        raise ConfigError(f"checks: {name} needs the field {', '.join(sorted(missing))} in the schema")
    return check if value is None else partial(check, value=value)


def _own(name: str) -> Callable[..., Verdict]:
    module, function = name.split(":", 1)
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"checks: {name} can not be imported: {error}; its module must be on the PYTHONPATH of every process"
        ) from None


def not_blank(answer: Answer) -> Verdict:
    return None if answer.text.strip() else ("blank", "the text is blank")


def not_short(answer: Answer) -> Verdict:
    """no_question: what is that short asks nothing."""
    count = len(answer.text.strip())
    return ("no_question", f"{count} characters < {MIN_CHARACTERS}") if count < MIN_CHARACTERS else None


def at_least_words(answer: Answer, value: int) -> Verdict:
    count = count_words(answer.text)
    return ("too_short", f"{count} words < {value}") if count < value else None


def not_refused(answer: Answer) -> Verdict:
    """The model declines."""
    declined = filters.refusal_in(answer.text)
    return ("refusal", declined) if declined else None


def safe(answer: Answer) -> Verdict:
    """By the lexical heuristic of the filters; a model judges better (synthesis.moderation_model)."""
    found = filters.unsafe_in(" ".join(_strings(answer.content)))
    return ("unsafe", found) if found else None


def not_the_persona(answer: Answer) -> Verdict:
    """The persona and next to nothing else."""
    persona, said = normalise(answer.persona), normalise(answer.text)
    copied = persona and persona in said and len(said) - len(persona) < MIN_CHARACTERS
    return ("copied_persona", "the text is the persona's description") if copied else None


def not_an_example(answer: Answer) -> Verdict:
    """One of the examples, a variation of one, or a run of its words."""
    if not answer.examples:
        return None
    own = words(answer.text)
    own_set = frozenset(own)
    for number, example in enumerate(answer.examples, start=1):
        example_words, example_set = _words_of(example)
        shared = own_set & example_set
        alike = len(shared) / max(1, len(own_set) + len(example_set) - len(shared))
        if alike >= ALIKE:
            return "copied_example", f"{alike:.2f} of the words of example {number}"
        if run := copied_run(example_words, own, shared):
            return "copied_example", f"{COPIED_WORDS} words of example {number}: {run}"
    return None


@lru_cache(maxsize=4096)
def _words_of(example: str) -> tuple[list[str], frozenset[str]]:
    """Its words, and each once; one example is shown with many personas."""
    found = words(example)
    return found, frozenset(found)


def not_the_prompt(answer: Answer) -> Verdict:
    """A run of the prompt's own words, one line of it and little else, or the subject of its example."""
    copied = copied_from(answer.text, answer.prompt, COPIED_WORDS)
    copied = copied or subject_taken(answer.text, answer.persona, answer.prompt)
    return ("copied_prompt", copied) if copied else None


def in_language(answer: Answer) -> Verdict:
    """Where a language is asked for: another one. Short texts get no verdict."""
    asked = answer.settings.get("language")
    found = language(answer.text) if asked else None
    return ("wrong_language", f"{found}, not {asked}") if found is not None and found != asked else None


def asks(answer: Answer) -> Verdict:
    return None if "?" in answer.text or _ASKS.search(answer.text) else ("no_question", "nothing is asked for")


def no_answer(answer: Answer) -> Verdict:
    """The problem goes on to its answer."""
    folded = answer.text.casefold()
    found = _ANSWER.search(answer.text) if any(stem in folded for stem in _ANSWER_STEMS) else None
    return ("leaked_answer", found.group().strip()) if found else None


def self_contained(answer: Answer) -> Verdict:
    """It speaks of the person whom the prompt described, as nobody does who does not know the prompt."""
    found = filters.person_meant(answer.text, may_be_introduced=True)
    return ("not_self_contained", found) if found else None


def quantities(answer: Answer) -> Verdict:
    """A problem without a number, in digits or in words, and without a symbol. Languages whose number words are not known pass."""
    if quantity_in(answer.text) or (language(answer.text) or "en") not in NUMBERED:
        return None
    return "no_quantity", "neither a number nor a symbol"


def of_the_lore(answer: Answer) -> Verdict:
    """A character whose race or class the lore does not know, or who uses next to none of its names."""
    lore, named = _known_of(answer.constants["lore"])
    for field in ("race", "class"):
        if normalise(answer.content[field]) not in lore:
            return "not_of_the_lore", f"the lore knows no {field} {answer.content[field]!r}"
    used_words = set(
        words(" ".join(_strings([value for field, value in answer.content.items() if field not in ("race", "class")])))
    )
    least = min(MIN_LORE_NAMES, len(named))
    used = len(list(islice((name for name in named if name <= used_words), least)))
    return ("not_of_the_lore", f"{used} names of the lore, fewer than {least}") if used < least else None


@lru_cache(maxsize=16)
def _known_of(lore: str) -> tuple[str, tuple[frozenset[str], ...]]:
    """The lore, normalised, and the words of each name in it."""
    names = {normalise(name) for name in _CAPITALISED.findall(lore)}
    return normalise(lore), tuple(frozenset(words(name)) for name in names)


def interface(answer: Answer) -> Verdict:
    """A name that is no function's, or parameters that are no JSON Schema of an object."""
    name = answer.content["name"]
    if not _SNAKE_CASE.fullmatch(name):
        return "bad_interface", f"the name {name!r} is not snake_case"
    try:
        schema = orjson.loads(answer.content["parameters"])
    except ValueError as error:
        return "bad_interface", f"parameters is no JSON: {error}"
    if not isinstance(schema, dict) or schema.get("type") != "object" or not isinstance(schema.get("properties"), dict):
        return "bad_interface", "parameters is no JSON Schema of an object with properties"
    required = schema.get("required", [])
    if not isinstance(required, list) or not set(map(str, required)) <= schema["properties"].keys():
        return "bad_interface", "required names a parameter that is not there"
    try:
        json_answers.check(schema)
    except ConfigError as error:
        return "bad_interface", f"parameters: {error}"
    return None


def code(answer: Answer) -> Verdict:
    """Where code is asked for: none that does anything, or no tests of it. Nothing is run here."""
    if answer.settings.get("part") != "interface and code":
        return None
    lacks = why_no_code(*(answer.content[field] for field in ("code", "name", "tests")))
    return ("no_code", lacks) if lacks else None


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [text for part in inner for text in _strings(part)]


CHECKS: dict[str, Callable[..., Verdict]] = {
    check.__name__: check
    for check in (
        not_blank,
        not_short,
        at_least_words,
        not_refused,
        safe,
        not_the_persona,
        not_an_example,
        not_the_prompt,
        in_language,
        asks,
        no_answer,
        of_the_lore,
        interface,
        self_contained,
        quantities,
        code,
    )
}
_FIELDS = {"of_the_lore": {"race", "class"}, "interface": {"name", "parameters"}, "code": {"name", "code", "tests"}}
