"""Finds out what an endpoint holds, with a few tiny requests, before anything is spent on it."""

import asyncio
import dataclasses
import re
import time

from personahub.config import Model
from personahub.errors import ErrorKind
from personahub.ids import canonical_json, content_id
from personahub.llm.chat import ChatClient, ResponseFormat
from personahub.llm.embeddings import EmbeddingsClient, key_of
from personahub.llm.types import Attempt, ChatCall, EmbeddingCall, Outcome


@dataclasses.dataclass(frozen=True, slots=True)
class Probe:
    """What an endpoint honours. `value`: a response_format, or the encoding of vectors; None: nothing can be bought there, and kind and
    message say why.

    With a value, `kind` None means that an answer of that format came and satisfied its schema; another kind means that the
    endpoint works but the model gave no such answer (`message` says what came), so that only tolerant parsing is left.
    """

    value: str | None
    kind: ErrorKind | None
    message: str | None
    attempts: tuple[tuple[ChatCall, Attempt], ...]  # each HTTP request made; the call is named by the format that it tried

    def outcomes(self) -> list[Outcome]:
        """For the ledger: a row per format tried, with the usage of its requests; final is the one that was chosen."""
        rows: dict[str, Outcome] = {}
        for call, made in self.attempts:
            before = rows.get(call.completion_id)
            rows[call.completion_id] = Outcome(
                call=call,
                final=call.prompt_name == name_of(self.value),
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


VERSION = "1"  # of what a probe asks
_PROBE_SCHEMA = {
    "type": "object",
    # a name that no model comes up with: an answer that has it has seen the schema
    "properties": {"rainbow_colour_7f": {"type": "string"}},
    "required": ["rainbow_colour_7f"],
    "additionalProperties": False,
}
_PROBE_TRIES = 6  # requests per format; only transient failures, and odd answers once, are asked again
_PROBE_WAIT = 30.0  # seconds; the longest wait between two of them
_ANSWERED_ODDLY = (ErrorKind.INVALID, ErrorKind.EMPTY, ErrorKind.TRUNCATED, ErrorKind.REFUSED, ErrorKind.CONTENT_FILTER)
_TRANSIENT = (
    ErrorKind.RATE_LIMIT,
    ErrorKind.OVERLOADED,
    ErrorKind.SERVER,
    ErrorKind.CONNECTION,
    ErrorKind.MALFORMED,
    ErrorKind.TIMEOUT,
)
_NAMES_FORMAT = re.compile(r"response_format|json_?schema|structured|guided|grammar|xgrammar|outlines", re.IGNORECASE)


def name_of(value: str | None) -> str:
    """prompt_name of the ledger's rows."""
    return f"probe {value}"


async def probe(model: Model, key: str | None) -> Probe:
    """Finds out with a few tiny requests what `response_format` the endpoint holds: json_schema, else json_object, else none.

    Steps down on a 400 or 422, on a 5xx that names the field, and on an answer that ignores the format twice. A `response_format`
    other than auto in the config is tried alone. Transient failures are asked again a few times. Raises nothing but CancelledError.
    """
    formats: tuple[ResponseFormat, ...] = ("json_schema", "json_object", "none")
    if model.response_format != "auto":
        formats = (model.response_format,)
    made: list[tuple[ChatCall, Attempt]] = []
    client = ChatClient(model, key, formats[0])
    try:
        for response_format in formats:
            client.response_format = response_format
            attempt = await _probe_format(client, _probe_call(model, response_format), made)
            if attempt.kind is None or not _steps_down(attempt):
                break
        usable = attempt.kind is None or attempt.kind in _ANSWERED_ODDLY
        return Probe(response_format if usable else None, *_why(attempt, model), tuple(made))
    finally:
        await client.close()


async def probe_embeddings(model: Model, key: str | None) -> Probe:
    """Finds out with a tiny request or two whether the endpoint gives vectors, and how: base64, else float. See `probe`.

    Only an endpoint that has answered can be believed when it refuses a text for good.
    """
    made: list[tuple[ChatCall, Attempt]] = []
    client = EmbeddingsClient(model, key, "base64")
    try:
        for encoding in ("base64", "float"):
            client.encoding = encoding
            identity = content_id(canonical_json(["probe-embeddings", model.base_url, key_of(model), encoding, time.time_ns()]))
            call = ChatCall(identity, key_of(model), 0, name_of(encoding), VERSION, [])
            attempt = await _probe_format(_OneText(client), call, made)
            if not (_steps_down(attempt) or attempt.kind is ErrorKind.MALFORMED):
                break
        return Probe(encoding if attempt.kind is None else None, *_why(attempt, model), tuple(made))
    finally:
        await client.close()


def _why(attempt: Attempt, model: Model) -> tuple[ErrorKind | None, str | None]:
    """Kind and message. A probe holds nothing that could be forbidden: where it is, the key is not good for this model."""
    if attempt.kind is not ErrorKind.FORBIDDEN:
        return attempt.kind, attempt.message
    return ErrorKind.AUTHENTICATION, f"{model.base_url} (model {model.model}) refused to answer at all: {attempt.message}"


class _OneText:
    """Asks for one vector, whatever the call: that is for the ledger."""

    def __init__(self, client: EmbeddingsClient) -> None:
        self._client = client

    async def attempt(self, call: ChatCall) -> Attempt:
        return dataclasses.replace(await self._client.attempt(EmbeddingCall(("probe",), ("A lighthouse keeper.",))), vectors=())


def _probe_call(model: Model, response_format: ResponseFormat) -> ChatCall:
    # never reused, so its id is of this moment
    identity = content_id(canonical_json(["probe", model.base_url, model.model, response_format, time.time_ns()]))
    messages = [{"role": "user", "content": "Name one colour of the rainbow."}]
    return ChatCall(identity, model.base_url, 0, name_of(response_format), VERSION, messages, _PROBE_SCHEMA, "probe")


async def _probe_format(client: ChatClient | _OneText, call: ChatCall, made: list[tuple[ChatCall, Attempt]]) -> Attempt:
    odd = 0
    for number in range(_PROBE_TRIES):
        attempt = await client.attempt(call)
        made.append((call, attempt))
        odd += attempt.kind in _ANSWERED_ODDLY
        waits = attempt.kind in _TRANSIENT and not _steps_down(attempt)
        last = number + 1 == _PROBE_TRIES or (attempt.kind is ErrorKind.TIMEOUT and number > 0)
        if last or odd > 1 or not (waits or attempt.kind in _ANSWERED_ODDLY):
            break
        if waits:
            await asyncio.sleep(min(_PROBE_WAIT, attempt.retry_after or 0.25 * 2**number))
    return attempt


def _steps_down(attempt: Attempt) -> bool:
    """Whether a weaker response_format may fare better."""
    if attempt.kind in (ErrorKind.BAD_REQUEST, *_ANSWERED_ODDLY):
        return True
    return attempt.kind is ErrorKind.SERVER and bool(_NAMES_FORMAT.search(attempt.message or ""))
