"""The Batch API of one endpoint, through the openai SDK: files and batches are rare and intricate, and no hot path.

Calls that change nothing are tried again by the SDK. The one that buys is sent exactly once: whether a batch was made although no
response came is found out by looking for it.
"""

import json
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
import truststore

from personahub.config import Model
from personahub.errors import AuthenticationError, ConfigError, EndpointError, ErrorKind
from personahub.llm import error_responses, retry
from personahub.llm.keys import credentials_of, is_loopback

ENDPOINT: Final = "/v1/chat/completions"
WINDOW: Final = "24h"
OUR_NAME = "personahub_batch"  # in a batch's metadata
NEEDS_SDK = "the Batch API needs the openai package: pip install 'personahub[batch]'"
_TRIES = 3  # further ones, of calls that change nothing
_SECONDS = 600.0  # for one call: a file may hold 200 MB
_PAGE = 100  # batches in one response


class Unreachable(EndpointError):
    """The endpoint did not serve a call. The same may be served later."""


class UnknownThere(EndpointError):
    """The endpoint knows no such file or batch."""


@dataclass(frozen=True, slots=True)
class ProviderBatch:
    """A batch as its endpoint tells it. name: our own id; errors: codes and messages of a whole batch that was refused."""

    id: str
    status: str
    name: str | None
    input_file_id: str | None
    output_files: tuple[str, ...]  # of answers, then of errors
    total: int
    completed: int
    failed: int
    created_at: float
    errors: tuple[tuple[str, str], ...] = ()


def is_installed() -> bool:
    """Whether there is an SDK to speak with."""
    try:
        import openai  # noqa: F401
    except ImportError:
        return False
    return True


class BatchClient:
    """Use with `with`. Every method raises AuthenticationError, Unreachable, UnknownThere, or EndpointError for any other refusal."""

    def __init__(self, model: Model, key: str | None) -> None:
        if not is_installed():
            raise ConfigError(NEEDS_SDK)
        import openai

        base_url, _, query = model.base_url.partition("?")
        self._model, self._credentials = model, credentials_of(model, key)
        headers = self._credentials.headers
        placed = "authorization" in {name.lower() for name in headers}  # else the SDK's own one is taken away again
        self._sdk = openai.OpenAI(
            base_url=base_url,
            api_key=key or "none",
            default_headers=headers,
            max_retries=_TRIES,
            timeout=_SECONDS,
            default_query={**dict(parse_qsl(query)), **self._credentials.query},
            http_client=openai.DefaultHttpxClient(
                verify=truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
                trust_env=not is_loopback(model.base_url),  # no proxy reaches this machine's loopback
                follow_redirects=False,  # which would carry the key elsewhere
                event_hooks={"request": [] if placed else [lambda request: request.headers.pop("Authorization", None)]},
            ),
        )
        self._once = self._sdk.with_options(max_retries=0)

    def __enter__(self) -> "BatchClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._sdk.close()

    def upload(self, name: str, content: bytes) -> str:
        """The id of a file of requests."""
        with self._told():
            return self._sdk.files.create(file=(f"{name}.jsonl", content), purpose="batch").id

    def create(self, file_id: str, metadata: Mapping[str, str]) -> ProviderBatch:
        """Buys the requests of a file. After Unreachable the batch may be there all the same."""
        with self._told():
            made = self._once.batches.create(
                input_file_id=file_id, endpoint=ENDPOINT, completion_window=WINDOW, metadata=dict(metadata)
            )
            return _read(made)

    def get(self, batch_id: str) -> ProviderBatch:
        with self._told():
            return _read(self._sdk.batches.retrieve(batch_id))

    def since(self, created_at: float) -> Iterator[ProviderBatch]:
        """The batches that were made since then (seconds since the epoch), in the order of the endpoint, which need not be one of time."""
        seen: set[str] = set()
        with self._told():
            for one in self._sdk.batches.list(limit=_PAGE):
                if one.id in seen:  # an endpoint that knows no pages begins anew
                    return
                seen.add(one.id)
                if (one.created_at or created_at) >= created_at:
                    yield _read(one)

    def cancel(self, batch_id: str) -> ProviderBatch:
        with self._told():
            return _read(self._sdk.batches.cancel(batch_id))

    def delete_file(self, file_id: str) -> None:
        with self._told():
            self._sdk.files.delete(file_id)

    def lines(self, file_id: str) -> list[dict[str, Any]]:
        """The JSON objects of an output file; what is none, such as a torn line, is left out."""
        with self._told():
            content = self._sdk.files.content(file_id).content
        return [line for line in map(_json, content.split(b"\n")) if isinstance(line, dict)]

    @contextmanager
    def _told(self) -> Iterator[None]:
        import openai

        where = f"{self._model.base_url} (batches of {self._model.model})"
        try:
            yield
        except openai.APIStatusError as error:
            said = error_responses.judge_error(error.status_code, _json(error.response.content), error.response.headers)
            message = f"{where}: {self._scrubbed(said.message)}"
            if said.kind is ErrorKind.AUTHENTICATION:
                raise AuthenticationError(f"{where} refused {self._credentials.said}: {self._scrubbed(said.message)}") from None
            if said.kind is ErrorKind.NOT_FOUND:
                raise UnknownThere(message) from None
            if said.kind in retry.TRANSIENT or said.kind is ErrorKind.RATE_LIMIT:
                raise Unreachable(message) from None
            raise EndpointError(message) from None
        except openai.OpenAIError as error:
            raise Unreachable(f"{where}: {self._scrubbed(str(error))}") from None

    def _scrubbed(self, text: str | None) -> str:
        return self._credentials.scrubbed(text or "no message")[:500]


def _read(batch: Any) -> ProviderBatch:
    """An SDK's batch. Gateways leave fields out that the types promise."""
    counts = batch.request_counts
    told: Sequence[Any] = (batch.errors and batch.errors.data) or ()
    return ProviderBatch(
        id=batch.id,
        status=batch.status,
        name=(batch.metadata or {}).get(OUR_NAME),
        input_file_id=batch.input_file_id,
        output_files=tuple(file for file in (batch.output_file_id, batch.error_file_id) if file),
        total=(counts and counts.total) or 0,
        completed=(counts and counts.completed) or 0,
        failed=(counts and counts.failed) or 0,
        created_at=float(batch.created_at or 0),
        errors=tuple((one.code or "", one.message or "") for one in told),
    )


def _json(content: bytes) -> Any:
    """The value; the text where it is no JSON. json takes half a surrogate pair and NaN, which orjson does not."""
    text = content.decode("utf-8", errors="replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def line_of(completion_id: str, body: Mapping[str, Any]) -> bytes:
    """A request as a line of a batch's file; `body` as it is sent online."""
    return orjson.dumps({"custom_id": completion_id, "method": "POST", "url": ENDPOINT, "body": body}) + b"\n"
