"""From the text of an answer to a value, and whether the value satisfies its schema."""

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import fastjsonschema
import json_repair
import orjson

from personahub.errors import ConfigError
from personahub.ids import canonical_json
from personahub.llm import thoughts

# what stands between these in a system message is the JSON Schema of the answer
SCHEMA_OPEN = "<answer_schema>"
SCHEMA_CLOSE = "</answer_schema>"

_FENCE = re.compile(r"```[\w-]*[ \t]*\n?(.*?)```", re.DOTALL)
_ONE_FENCE = re.compile(r"```[\w-]*[ \t]*\n?(.*)```", re.DOTALL)
_OPENS_JSON = re.compile(r"""\{\s*["'}]|\[\s*[{"'\]]""")  # and no bracket of prose: {this}, [0, 1)
_MARK = re.compile(r"""[\\"'{}\[\]]""")
_MAX_STARTS = 100  # places in prose where a JSON value is looked for
_MAX_REPAIR = 10_000  # characters: repair is quadratic on some texts (20 s for 30,000)
_MAX_BRACKETS = 500  # for the same reason
_DECODER = json.JSONDecoder()

WhyNot = Callable[[Any], str | None]  # what a value lacks to be the answer, or None


def _refuse(uri: str) -> Any:
    raise ValueError(f"$ref leads out of the schema, to {uri}")


# a schema may be a model's: what it refers to is neither fetched nor read (urllib opens these, and no other)
_NOWHERE = dict.fromkeys(("", "http", "https", "ftp", "file", "data"), _refuse)


class NoJson(ValueError):
    """The text holds no JSON value. The message is for people, and for the model on its second try."""


class CutJson(NoJson):
    """The text ends in the middle of a JSON value: nobody knows how it goes on, so nothing of it is an answer."""


def whole(text: str) -> Any:
    """The JSON value that `text` is and nothing else, fences aside. Raises NoJson."""
    text = text.strip().lstrip("\ufeff")
    if fence := _ONE_FENCE.fullmatch(text) if text.startswith("```") else None:
        text = fence[1]
    try:
        return orjson.loads(text)
    except ValueError:
        raise NoJson("the text is no JSON value") from None


def extract(text: str, why_not: WhyNot | None = None) -> Any:
    """The JSON value in `text`: the whole text, or one in prose or fences, or what repair makes of it.

    Where the text is no JSON value as a whole, thoughts are dropped first (see `thoughts`). Of several values the last to which
    `why_not` does not object is the answer: what stands before it are drafts and examples. If there is none, it is the longest.
    Raises NoJson; CutJson where the text ends within a value.
    """
    try:
        return orjson.loads(text)
    except ValueError:
        pass
    answer = thoughts.without(text).strip().lstrip("\ufeff")
    for said in (text, answer):
        try:
            return whole(said)
        except NoJson:
            pass
    found, cut = _containers(answer)
    if cut:
        raise CutJson("the answer ends in the middle of its JSON")
    parts = [*(block.strip() for block in _FENCE.findall(answer)), answer]
    if why_not is not None and (value := _last(found, parts, why_not)) is not None:
        return value
    for part in parts:
        whole_ones = ((value, len(raw)) for value, raw in _containers(part)[0] if value is not None)
        best, size = max(whole_ones, key=lambda value_size: value_size[1], default=(None, 0))
        # in prose a short list is rather a footnote mark than an answer, unless little else is there
        if best and (isinstance(best, dict) or size * 2 >= len(part) or isinstance(best[0], dict)):
            return best
    for part in (*(raw for value, raw in found if value is None), *parts):
        if (value := _repair(part)) is not None:
            return value
    raise NoJson("the answer holds no JSON" if answer else "the answer is blank")


def _last(found: list[tuple[Any, str]], parts: list[str], why_not: WhyNot) -> Any:
    """The last value to which `why_not` does not object: of the whole text, else of a part of it. None if there is none."""
    for values in (found, *(_containers(part)[0] for part in parts[:-1])):
        for value, raw in reversed(values):
            candidate = _repair(raw) if value is None else value
            if candidate is not None and why_not(candidate) is None:
                return candidate
    return None


class Reading(NamedTuple):
    """What a final completion says: a value, or (None and) the reason why it is a reject, with a detail."""

    value: Any = None
    reason: str | None = None
    detail: str | None = None


def read(
    text: str | None,
    error_kind: str | None,
    error_message: str | None,
    why_not: WhyNot | None = None,
    prefers: WhyNot | None = None,
) -> Reading:
    """A final row of `completions` -> its JSON value, if `why_not` (see `check`) does not object to it. Never raises.

    Reasons: the row's error_kind; empty; truncated (the text ends within its JSON); invalid (no JSON, or what `why_not` says).
    prefers: in place of `why_not`, tells the answer among several values; it refuses none.
    """
    if error_kind is not None or text is None:
        return Reading(None, error_kind or "empty", error_message)
    try:
        value = extract(text, prefers or why_not)
    except NoJson as error:
        return Reading(None, "truncated" if isinstance(error, CutJson) else "invalid", str(error))
    problem = why_not(value) if why_not is not None else None
    return Reading(value) if problem is None else Reading(None, "invalid", problem)


def describe(schema: Mapping[str, Any]) -> str:
    """What to tell a model whose endpoint does not enforce a schema; OpenAI's json_object mode wants the word JSON in it."""
    return (
        "Answer with one JSON value that satisfies this JSON Schema, and with nothing else:\n"
        f"{SCHEMA_OPEN}\n{canonical_json(schema)}\n{SCHEMA_CLOSE}"
    )


def check(schema: Mapping[str, Any]) -> WhyNot:
    """A function that says why a value does not satisfy `schema`, or None. Compiled once per schema and process.

    Raises ConfigError if `schema` is no JSON Schema.
    """
    return _compiled(canonical_json(schema))


@lru_cache(maxsize=128)
def _compiled(schema: str) -> WhyNot:
    try:
        # no defaults: what is judged is what the model said
        validate = fastjsonschema.compile(json.loads(schema), handlers=_NOWHERE, use_default=False)
    except Exception as error:  # fastjsonschema lets KeyError and TypeError through for some malformed schemas
        raise ConfigError(f"the schema of the answer is not a valid JSON Schema: {error}") from None

    def why_not(value: Any) -> str | None:
        try:
            validate(value)
        except fastjsonschema.JsonSchemaValueException as error:
            return "the answer" + error.message.removeprefix("data")
        return None

    return why_not


def _containers(text: str) -> tuple[list[tuple[Any, str]], bool]:
    """The objects and arrays that stand in `text`, outermost only: each with its own text, and None in place of what needs repair.

    True where the last one is cut: no part of it counts.
    """
    found: list[tuple[Any, str]] = []
    position = 0
    for _ in range(_MAX_STARTS):
        start = min((at for at in (text.find("{", position), text.find("[", position)) if at >= 0), default=-1)
        if start < 0:
            break
        try:
            value, position = _DECODER.raw_decode(text, start)
            found.append((value, text[start:position]))
        except (ValueError, RecursionError):
            position = start + 1
            if _OPENS_JSON.match(text, start):
                end = _end_of(text, start)
                if end is None:
                    return found, True
                found.append((None, text[start:end]))
                position = end
    return found, False


def _end_of(text: str, start: int) -> int | None:
    """Where the object or array that opens at `start` is closed, however damaged it is within; None where the text ends before."""
    open_ones: list[str] = []
    quote = ""
    escaped = -1  # the character after a backslash
    for mark in _MARK.finditer(text, start):
        at, sign = mark.start(), mark[0]
        if at == escaped:
            continue
        if sign == "\\":
            escaped = at + 1
        elif quote:
            # a quotation mark within a sentence closes nothing: JSON goes on after the one that does
            if sign == quote and _next(text, at + 1) in ",:}]":
                quote = ""
        elif sign in "\"'":
            quote = sign if _before(text, at) in "{[,:" else ""
        elif sign in "{[":
            open_ones.append("}" if sign == "{" else "]")
        elif sign in open_ones:
            while open_ones.pop() != sign:  # what was not closed within it ends with it
                pass
            if not open_ones:
                return at + 1
    return None


def _next(text: str, at: int) -> str:
    while at < len(text) and text[at].isspace():
        at += 1
    return text[at] if at < len(text) else ","


def _before(text: str, at: int) -> str:
    at -= 1
    while at > 0 and text[at].isspace():
        at -= 1
    return text[at]


def _repair(text: str) -> Any:
    """A non-empty object or array, or None: prose alone is never turned into one, and neither is a value that is cut."""
    starts = [at for at in (text.find("{"), text.find("[")) if at >= 0]
    if not starts or len(text) > _MAX_REPAIR or text.count("{") + text.count("[") > _MAX_BRACKETS:
        return None
    end = _end_of(text, min(starts))
    if end is None:
        return None
    try:
        value = json_repair.loads(text[min(starts) : end])
    except (ValueError, RecursionError, IndexError):
        return None
    return value if isinstance(value, dict | list) and value else None
