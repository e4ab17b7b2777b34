"""Finds out how an endpoint wants to be asked, with a few tiny requests, before anything is spent on it."""

import asyncio
import dataclasses
import re
import time
from collections.abc import Mapping
from typing import Any, Protocol

from personahub.config import Model
from personahub.errors import ErrorKind
from personahub.ids import canonical_json, content_id
from personahub.llm import dialects, facts
from personahub.llm.chat import ChatClient
from personahub.llm.dialects import FORMATS, Dialect, ResponseFormat
from personahub.llm.types import Attempt, ChatCall, Outcome


@dataclasses.dataclass(frozen=True, slots=True)
class Probe:
    """What an endpoint was found to understand. `found`: capability -> value, as `endpoint_capabilities` keeps them; empty: nothing can be
    bought there, and kind and message say why.

    Where something is found, `kind` None means that every schema got an answer that satisfies it; another kind means that the endpoint
    works but the model gave no such answer for one (`message` says what came), so that only tolerant parsing is left.
    """

    found: Mapping[str, str]
    kind: ErrorKind | None
    message: str | None
    attempts: tuple[tuple[ChatCall, Attempt], ...]  # each HTTP request made; the call is named by what it tried
    chosen: frozenset[str] = frozenset()  # ids of the calls whose way of asking is the one from now on
    notes: tuple[str, ...] = ()  # what the user should know of it, a sentence each

    def outcomes(self) -> list[Outcome]:
        """For the ledger: a row per call, with the usage of its requests; final is each that was chosen."""
        rows: dict[str, Outcome] = {}
        for call, made in self.attempts:
            before = rows.get(call.completion_id)
            rows[call.completion_id] = Outcome(
                call=call,
                final=call.completion_id in self.chosen,
                kind=made.kind,
                text=made.text,
                finish_reason=made.finish_reason,
                message=made.message,
                usage=made.usage + before.usage if before else made.usage,
                latency_s=made.latency_s,
                attempts=1 + (before.attempts if before else 0),
                created_at=time.time(),
            )
        return list(rows.values())


VERSION = "2"  # of what a probe asks
_THOUGHTFUL = "How many vowels are there in the word 'rainbow'? Think, then answer with the number."
_PROBE_TRIES = 6  # requests per format; only transient failures, and odd answers once, are asked again
_PROBE_WAIT = 30.0  # seconds; the longest wait between two of them
_ANSWERED_ODDLY = (
    ErrorKind.INVALID,
    ErrorKind.EMPTY,
    ErrorKind.TRUNCATED,
    ErrorKind.RUNAWAY_WHITESPACE,
    ErrorKind.REFUSED,
    ErrorKind.CONTENT_FILTER,
    ErrorKind.PROMPT_FILTERED,
)
_TRANSIENT = (
    ErrorKind.RATE_LIMIT,
    ErrorKind.OVERLOADED,
    ErrorKind.SERVER,
    ErrorKind.CONNECTION,
    ErrorKind.MALFORMED,
    ErrorKind.TIMEOUT,
)
_NAMES_FORMAT = re.compile(r"response_format|json_?schema|structured|guided|grammar|xgrammar|outlines", re.IGNORECASE)
# keywords of JSON Schema that every provider with structured output takes; of others some take none, each others
_TAKEN_BY_ALL = frozenset({"type", "properties", "required", "additionalProperties", "items", "enum", "description"})


def name_of(value: str | None) -> str:
    """prompt_name of the ledger's rows."""
    return f"probe {value}"


async def probe(
    model: Model, key: str | None, schemas: Mapping[str, dict[str, Any] | None], known: Dialect | None = None
) -> Probe:
    """Finds out which parameters are sent under another name or not at all, and which `response_format` each schema gets through:
    json_schema, else json_object, else none.

    schemas: those that the run will ask for, by the names under which they are sent; None: free text. The requests carry the model's
    own generation_params. Steps down, for that schema alone, on a 400 or 422, on a 5xx that names the field, and on an answer that
    ignores the format twice. A `response_format` other than auto in the config is tried alone. Transient failures are asked again a few
    times. Raises nothing but CancelledError.
    """
    # of several names for one schema one is asked; the first request alone finds out about the parameters
    distinct = {canonical_json(schema): (name, schema) for name, schema in reversed([*schemas.items()] or [("text", None)])}
    first, *others = reversed(list(distinct.values()))
    made: list[tuple[ChatCall, Attempt]] = []
    client = _Observant(model, key, dataclasses.replace(known or Dialect(), steps_down=False))
    try:
        results = [await _format_of(client, model, first, made)]
        if results[0].format is not None:
            results += await asyncio.gather(*(_format_of(client, model, other, made) for other in others))
        dialect = client.dialect
    finally:
        await client.close()
    odd = next((result for result in results if result.attempt.kind is not None), results[0])
    if dead := next((result for result in results if result.format is None), None):
        return Probe({}, *why(dead.attempt, model), tuple(made))
    found = {dialects.of_parameters(model): dialects.parameters(dialect)}
    found |= client.facts
    found |= {dialects.of_schema(result.schema): str(result.format) for result in results if result.schema is not None}
    notes = [*dialect.told(model.generation_params), *(_notes(results) if model.response_format == "auto" else ())]
    chosen = frozenset(result.call.completion_id for result in results)
    return Probe(found, *why(odd.attempt, model), tuple(made), chosen, tuple(notes))


@dataclasses.dataclass(frozen=True)
class _Result:
    """What became of one schema. format None: nothing is answered there."""

    format: ResponseFormat | None
    schema: dict[str, Any] | None
    name: str
    call: ChatCall
    attempt: Attempt
    refusal: str | None  # what the endpoint said to a stronger format

    @property
    def weaker(self) -> str:
        """What a schema that is not enforced means, and what may be the reason; blank of one that is."""
        if self.schema is None or self.format == "json_schema":
            return ""
        rare = sorted(_keywords(self.schema) - _TAKEN_BY_ALL)
        why = f" ({self.refusal})" if self.refusal else ""
        hint = f"; not every provider takes {', '.join(rare)}" if rare else ""
        return f"with response_format {self.format}, as json_schema did not get through{why}{hint}"


def _notes(results: list[_Result]) -> list[str]:
    """A sentence for all schemas that are asked for in one weaker way."""
    names: dict[str, list[str]] = {}
    for result in results:
        names.setdefault(result.weaker, []).append(result.name)
    return [f"answers of {', '.join(of)} are asked for {how}" for how, of in names.items() if how]


class Asks(Protocol):
    async def attempt(self, call: ChatCall) -> Attempt: ...


class _Observant(ChatClient):
    """Notes what the responses show beside the answers."""

    def __init__(self, model: Model, key: str | None, dialect: Dialect) -> None:
        super().__init__(model, key, dialect)
        self.facts: dict[str, str] = {}

    def judge(self, got: Any, call: ChatCall) -> Attempt:
        self.facts |= facts.of_body(got, schema=call.schema is not None) | facts.of_headers(self.headers)
        return super().judge(got, call)


async def _format_of(
    client: ChatClient, model: Model, named: tuple[str, dict[str, Any] | None], made: list[tuple[ChatCall, Attempt]]
) -> _Result:
    name, schema = named
    formats: tuple[ResponseFormat, ...] = FORMATS if model.response_format == "auto" else (model.response_format,)
    tried: list[_Result] = []
    for response_format in formats if schema is not None else formats[-1:]:
        client.dialect = client.dialect.with_format(name, response_format)
        call = probe_call(model, response_format, name, schema)
        attempt = await ask(client, call, made, model.generation_params)
        usable = attempt.kind is None or attempt.kind in _ANSWERED_ODDLY
        refusal = tried[0].attempt.message if tried else None
        tried.append(_Result(response_format if usable else None, schema, name, call, attempt, refusal))
        if attempt.kind is None or not steps_down(attempt):
            break
    # where no answer satisfies the schema, one that was cut speaks of max_tokens, not of the format
    cut = [result for result in tried if result.attempt.kind is ErrorKind.TRUNCATED]
    chosen = cut[0] if cut and tried[-1].attempt.kind is not None and tried[-1].format is not None else tried[-1]
    if chosen.format is not None:
        client.dialect = client.dialect.with_format(name, chosen.format)
    return chosen


def why(attempt: Attempt, model: Model) -> tuple[ErrorKind | None, str | None]:
    """Kind and message. A probe holds nothing that could be forbidden: where it is, the key is not good for this model."""
    if attempt.kind is not ErrorKind.FORBIDDEN:
        return attempt.kind, attempt.message
    return ErrorKind.AUTHENTICATION, f"{model.base_url} (model {model.model}) refused to answer at all: {attempt.message}"


def probe_call(
    model: Model, tried: str, name: str, schema: dict[str, Any] | None, messages: list[dict[str, str]] | None = None
) -> ChatCall:
    """A tiny request, or one with these messages. Its answer is never reused, so its id is of this moment."""
    identity = content_id(canonical_json(["probe", model.base_url, model.model, tried, name, time.time_ns()]))
    # the names in a schema are such as no model comes up with: an answer that has them has seen the schema
    asked = (
        _THOUGHTFUL
        if schema is None
        else "Make up a short example of such an answer, about a rainbow, with a few words in each text."
    )
    messages = messages or [{"role": "user", "content": asked}]
    return ChatCall(identity, model.base_url, 0, name_of(tried), VERSION, messages, schema, name)


async def ask(
    client: Asks, call: ChatCall, made: list[tuple[ChatCall, Attempt]], params: Mapping[str, Any] | None = None
) -> Attempt:
    """Asks until there is an answer, a refusal, or no more patience. params: the user's, which are learned to be sent in another way."""
    odd, number = 0, 0
    while True:
        attempt = await client.attempt(call)
        made.append((call, attempt))
        if attempt.kind is ErrorKind.UNSUPPORTED or _learned(client, attempt, params):
            continue
        number += 1
        odd += attempt.kind in _ANSWERED_ODDLY
        waits = attempt.kind in _TRANSIENT and not steps_down(attempt)
        last = number == _PROBE_TRIES or (attempt.kind is ErrorKind.TIMEOUT and number > 1)
        if last or odd > 1 or not (waits or attempt.kind in _ANSWERED_ODDLY):
            return attempt
        if waits:
            await asyncio.sleep(min(_PROBE_WAIT, attempt.retry_after or 0.25 * 2 ** (number - 1)))


def _learned(client: Asks, attempt: Attempt, params: Mapping[str, Any] | None) -> bool:
    """Whether a refusal's words, which here echo nobody's text, name a parameter that can be sent in another way."""
    if attempt.kind is not ErrorKind.BAD_REQUEST or params is None or not isinstance(client, ChatClient):
        return False
    named = dialects.named_in(attempt.message, client.dialect.params(params))
    better = dialects.adapt(client.dialect, named, params)
    client.dialect = better or client.dialect
    return better is not None


def steps_down(attempt: Attempt) -> bool:
    """Whether a weaker response_format may fare better."""
    if attempt.kind in (ErrorKind.BAD_REQUEST, *_ANSWERED_ODDLY):
        return True
    return attempt.kind is ErrorKind.SERVER and bool(_NAMES_FORMAT.search(attempt.message or ""))


def _keywords(schema: Any) -> set[str]:
    """All keywords in a JSON Schema."""
    if isinstance(schema, list):
        return set().union(*map(_keywords, schema))
    if not isinstance(schema, Mapping):
        return set()
    inner = [
        *(schema.get("properties") or {}).values(),
        *(value for name, value in schema.items() if name not in ("properties", "enum")),
    ]
    return set(schema).union(*map(_keywords, inner))
