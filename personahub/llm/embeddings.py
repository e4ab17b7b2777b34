"""Asks one OpenAI-compatible endpoint for vectors: what is sent, what a 200 means, and how many texts fit into one request."""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from personahub.config import Model
from personahub.errors import ErrorKind
from personahub.ids import canonical_json
from personahub.llm import error_responses
from personahub.llm.http import Connection
from personahub.llm.types import UNTOLD, Attempt, EmbeddingCall
from personahub.llm.usage import max_tokens_of, read_usage_of_error, read_usage_of_texts

_OF_CHATS = ("max_tokens", "max_completion_tokens")  # generation_params has them by default; an embedding has no answer to cut


def settings_of(model: Model) -> dict[str, Any]:
    """What is sent beside model and texts, and may change a vector."""
    return {name: value for name, value in model.generation_params.items() if name not in _OF_CHATS}


def key_of(model: Model) -> str:
    """What makes two vectors comparable: the model's name and, if there are any, its settings. Neither endpoint nor alias."""
    settings = settings_of(model)
    return f"{model.model} {canonical_json(settings)}" if settings else model.model


class Packer:
    """Texts into requests: each holds at most `texts` of them and `tokens` of the upper estimate, but one text in any case."""

    def __init__(self, texts: int, tokens: int) -> None:
        self._max_texts, self._max_tokens = texts, tokens
        self._open: list[tuple[str, str]] = []
        self._tokens = 0

    def add(self, rows: Iterable[tuple[str, str]]) -> list[EmbeddingCall]:
        """(id, text) -> the requests that are full."""
        full = []
        for row in rows:
            tokens = max_tokens_of(row[1])
            if self._open and (len(self._open) >= self._max_texts or self._tokens + tokens > self._max_tokens):
                full += self.rest()
            self._open.append(row)
            self._tokens += tokens
        return full

    def rest(self) -> list[EmbeddingCall]:
        """The last request, if there is one."""
        rows, self._open, self._tokens = self._open, [], 0
        return [EmbeddingCall(tuple(name for name, _ in rows), tuple(text for _, text in rows))] if rows else []


class EmbeddingsClient:
    """One client per event loop: make it, use it and close it inside the same running loop."""

    def __init__(self, model: Model, key: str | None, encoding: str) -> None:
        """`encoding`: base64, or float where the endpoint refuses that (see `probe`). Opens no connection yet."""
        self.encoding = encoding
        self._model = model
        self._connection = Connection(model, key)

    async def attempt(self, call: EmbeddingCall, messages: object = None) -> Attempt:
        """Exactly one HTTP request. See `Connection.post`; `messages` is for chats."""
        settings = settings_of(self._model)
        body = {"model": self._model.model, "input": list(call.texts)} | settings
        if self.encoding == "base64":  # a quarter of the bytes, and the very bits; float is what endpoints send by themselves
            body["encoding_format"] = "base64"
        wanted = settings.get("dimensions")
        return await self._connection.post("/embeddings", body, lambda got: judge(got, call.size, wanted), 0)

    async def close(self) -> None:
        """Closes the connections. Requests still in flight fail."""
        await self._connection.close()


def judge(body: Any, count: int, dimensions: int | None = None) -> Attempt:
    """The Attempt that a 200 with this body is: `count` vectors, in the order of the texts, finite and as long as each other.

    MALFORMED: not that, which may pass. INVALID: a vector that no further try makes better (not finite, or not of `dimensions`).
    """
    if isinstance(body, str):
        return Attempt(ErrorKind.MALFORMED, message="the response is not JSON", usage=UNTOLD)
    if not isinstance(body, Mapping):
        what = f"the response is a JSON {type(body).__name__}, not a list of embeddings"
        return Attempt(ErrorKind.MALFORMED, message=what, usage=UNTOLD)
    usage = read_usage_of_texts(body)
    data = body.get("data")
    if body.get("error") and not data:
        return error_responses.error_inside(body["error"], read_usage_of_error(body))
    try:
        vectors = [_vector(item) for item in _in_order(data, count)]
    except (ValueError, TypeError, KeyError) as error:
        return Attempt(ErrorKind.MALFORMED, message=f"no list of {count} embeddings: {error}", usage=usage)
    lengths = {len(vector) for vector in vectors}
    if len(lengths) > 1 or not all(lengths):
        return Attempt(ErrorKind.MALFORMED, message=f"embeddings of lengths {sorted(lengths)}", usage=usage)
    if dimensions is not None and lengths != {dimensions}:
        message = f"embeddings of {lengths.pop()} dimensions, where generation_params asks for {dimensions}"
        return Attempt(ErrorKind.INVALID, message=message, usage=usage)
    if not all(np.isfinite(vector).all() for vector in vectors):
        return Attempt(ErrorKind.INVALID, message="an embedding with numbers that are not finite", usage=usage)
    return Attempt(None, vectors=tuple(packed(vector) for vector in vectors), usage=usage)


def _in_order(data: Any, count: int) -> list[Mapping[str, Any]]:
    """By `index`, where the endpoint says it; raises ValueError for what are not `count` items."""
    if not isinstance(data, list) or not all(isinstance(item, Mapping) for item in data):
        raise ValueError("data is no list of objects")
    if len(data) != count:
        raise ValueError(f"{len(data)} items")
    if any("index" in item for item in data):
        data = sorted(data, key=lambda item: item["index"])
        if [item["index"] for item in data] != list(range(count)):
            raise ValueError("the indices are not those of the texts")
    return data


def _vector(item: Mapping[str, Any]) -> np.ndarray:
    value = item["embedding"]
    if isinstance(value, str):
        return np.frombuffer(base64.b64decode(value, validate=True), "<f4")
    if not isinstance(value, list) or not all(isinstance(number, int | float) for number in value):
        raise ValueError("an embedding is neither base64 nor a list of numbers")
    with np.errstate(over="ignore"):  # too large for float32 is infinite: refused as not finite
        return np.array(value, "<f4")


def packed(vector: np.ndarray) -> str:
    """float32 in base64, as vectors travel and as the journal keeps them."""
    return base64.b64encode(np.ascontiguousarray(vector, "<f4").data).decode()


def unpacked(vector: str) -> np.ndarray:
    """float32[dimensions]."""
    return np.frombuffer(base64.b64decode(vector), "<f4")
