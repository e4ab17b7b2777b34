"""From the text of an answer to a value, and whether the value satisfies its schema."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import fastjsonschema
import json_repair
import orjson

from personahub.errors import ConfigError
from personahub.ids import canonical_json

# what stands between these in a system message is the JSON Schema of the answer
SCHEMA_OPEN = "<answer_schema>"
SCHEMA_CLOSE = "</answer_schema>"

_THOUGHT = re.compile(r"<(think|thinking|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_THOUGHT_END = re.compile(r"</(?:think|thinking|reasoning)>", re.IGNORECASE)
_THOUGHT_OPEN = re.compile(r"<(?:think|thinking|reasoning)>", re.IGNORECASE)
_FENCE = re.compile(r"```[\w-]*[ \t]*\n?(.*?)```", re.DOTALL)
_MAX_STARTS = 100  # places in prose where a JSON value is looked for
_MAX_REPAIR = 10_000  # characters: repair is quadratic on some texts (20 s for 30,000)
_MAX_BRACKETS = 500  # for the same reason
_DECODER = json.JSONDecoder()


def _refuse(uri: str) -> Any:
    raise ValueError(f"$ref leads out of the schema, to {uri}")


# a schema may be a model's: what it refers to is neither fetched nor read (urllib opens these, and no other)
_NOWHERE = dict.fromkeys(("", "http", "https", "ftp", "file", "data"), _refuse)


class NoJson(ValueError):
    """The text holds no JSON value. The message is for people, and for the model on its second try."""


def extract(text: str) -> Any:
    """The JSON value in `text`: the whole text, or the longest object or array in fences or prose, or what repair makes of it.

    Thoughts in <think> blocks are dropped first. Raises NoJson.
    """
    text = _without_thoughts(text).strip().lstrip("\ufeff")
    try:
        return orjson.loads(text)
    except ValueError:
        pass
    fenced = [block.strip() for block in _FENCE.findall(text)]
    for part in (*fenced, text):
        found = max(_containers(part), key=lambda value_size: value_size[1], default=None)
        # in prose a short list is rather a footnote mark than an answer, unless little else is there
        if found and found[0] and (isinstance(found[0], dict) or found[1] * 2 >= len(part) or isinstance(found[0][0], dict)):
            return found[0]
    for part in (*fenced, text):
        if (repaired := _repair(part)) is not None:
            return repaired
    raise NoJson("the answer holds no JSON" if text else "the answer is blank")


class Reading(NamedTuple):
    """What a final completion says: a value, or (None and) the reason why it is a reject, with a detail."""

    value: Any = None
    reason: str | None = None
    detail: str | None = None


def read(
    text: str | None,
    error_kind: str | None,
    error_message: str | None,
    why_not: Callable[[Any], str | None] = lambda value: None,
) -> Reading:
    """A final row of `completions` -> its JSON value, if `why_not` (see `check`) does not object to it. Never raises.

    Reasons: the row's error_kind; empty; invalid (no JSON, or what `why_not` says).
    """
    if error_kind is not None or text is None:
        return Reading(None, error_kind or "empty", error_message)
    try:
        value = extract(text)
    except NoJson as error:
        return Reading(None, "invalid", str(error))
    problem = why_not(value)
    return Reading(value) if problem is None else Reading(None, "invalid", problem)


def describe(schema: Mapping[str, Any]) -> str:
    """What to tell a model whose endpoint does not enforce a schema; OpenAI's json_object mode wants the word JSON in it."""
    return (
        "Answer with one JSON value that satisfies this JSON Schema, and with nothing else:\n"
        f"{SCHEMA_OPEN}\n{canonical_json(schema)}\n{SCHEMA_CLOSE}"
    )


def check(schema: Mapping[str, Any]) -> Callable[[Any], str | None]:
    """A function that says why a value does not satisfy `schema`, or None. Compiled once per schema and process.

    Raises ConfigError if `schema` is no JSON Schema.
    """
    return _compiled(canonical_json(schema))


@lru_cache(maxsize=128)
def _compiled(schema: str) -> Callable[[Any], str | None]:
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


def _without_thoughts(text: str) -> str:
    if "<" not in text:
        return text
    text = _THOUGHT.sub("", text)
    ends = list(_THOUGHT_END.finditer(text))  # some chat templates open the block themselves
    if ends:
        text = text[ends[-1].end() :]
    opening = _THOUGHT_OPEN.match(text.lstrip())
    return "" if opening else text  # never closed: all of it is thought


def _containers(text: str) -> Iterator[tuple[Any, int]]:
    """Each object or array that stands in `text`, outermost only, with its length in characters."""
    position = 0
    for _ in range(_MAX_STARTS):
        start = min((at for at in (text.find("{", position), text.find("[", position)) if at >= 0), default=-1)
        if start < 0:
            return
        try:
            value, position = _DECODER.raw_decode(text, start)
            yield value, position - start
        except (ValueError, RecursionError):
            position = start + 1


def _repair(text: str) -> Any:
    """A non-empty object or array, or None: prose alone is never turned into one."""
    starts = [at for at in (text.find("{"), text.find("[")) if at >= 0]
    if not starts or len(text) > _MAX_REPAIR or text.count("{") + text.count("[") > _MAX_BRACKETS:
        return None
    try:
        value = json_repair.loads(text[min(starts) :])
    except (ValueError, RecursionError, IndexError):
        return None
    return value if isinstance(value, dict | list) and value else None
