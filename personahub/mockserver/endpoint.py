"""What the mock server does with one request: admit it, give it a place, answer it or let a fault strike, and count it."""

import asyncio
import contextlib
import math
import random
import socket
import struct
import time
from collections import deque
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson
from aiohttp import web

from personahub.mockserver import answers, faults
from personahub.mockserver.faults import FAULTS, RARE_FAULTS
from personahub.mockserver.stats import MINUTE, Stats
from personahub.mockserver.world import World

_HEADERS = {"x-simulated": "true"}
MAX_TEXTS, MAX_TOKENS_OF_TEXT, MAX_TOKENS = 2048, 8191, 300_000  # in one request for vectors
_RESET = 444  # seen in the counts only: the connection is gone


@dataclass(frozen=True)
class Settings:
    """What is simulated. Times in seconds; a fault in `faults` strikes `fault_rate` of all attempts, each kind equally often.

    `slow` sends its headers at once and then lets the body drip for ten times the latency, at least `slow_seconds`.
    `response_formats`: all; json_object and none answer 400 to what they lack; ignore accepts all and honours none.
    """

    port: int = 8000  # 0: any free one
    capacity: int = 64  # requests that are worked on at once
    overflow: str = "queue"  # above it: wait in line, or 429
    median: float = 0.4
    sigma: float = 0.9  # of the logarithm of the latency
    fault_rate: float = 0.0
    faults: tuple[str, ...] = FAULTS
    rpm: int | None = None  # requests admitted in any 60 s; above it 429
    seed: int = 0
    duplicates: float = 0.0  # share of the personas in answers that are one of the few that come again and again (world.py)
    key: str | None = None  # expected after "Authorization: Bearer"
    response_formats: str = "all"
    slow_seconds: float = 1.0

    def __post_init__(self) -> None:
        unknown = set(self.faults) - set(FAULTS) - set(RARE_FAULTS)
        if unknown:
            raise ValueError(f"unknown fault {', '.join(sorted(unknown))}; known: {', '.join(FAULTS + RARE_FAULTS)}")
        if self.overflow not in ("queue", "429"):
            raise ValueError(f"overflow is queue or 429, not {self.overflow!r}")
        if self.response_formats not in ("all", "json_object", "none", "ignore"):
            raise ValueError(f"response_formats is all, json_object, none or ignore, not {self.response_formats!r}")
        if (
            self.capacity < 1
            or self.median < 0
            or self.sigma < 0
            or not all(0 <= rate <= 1 for rate in (self.fault_rate, self.duplicates))
        ):
            raise ValueError(
                "capacity is at least 1, fault_rate and duplicates are within 0..1, median and sigma are not negative"
            )


class _Refusal(Exception):
    """An error response that no fault caused."""

    def __init__(self, why: str, status: int, message: str, **details: Any) -> None:
        self.why, self.status, self.message, self.details = why, status, message, details


class Endpoint:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stats = Stats()
        self.world = World(settings.seed, settings.duplicates)
        self.line: deque[asyncio.Future[None]] = deque()
        self.admitted: deque[float] = deque()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path in ("/v1/chat/completions", "/v1/embeddings") and request.method == "POST":
            return await self._paid(request, chat=path.endswith("completions"))
        if path == "/v1/models":
            return _json({"object": "list", "data": [{"id": "mock", "object": "model", "owned_by": "simulated"}]})
        if path == "/health":
            return _json({"status": "ok", "simulated": True})
        if path == "/stats":
            return _json(self.stats.snapshot(time.monotonic(), self.settings.capacity))
        if path == "/stats/reset" and request.method == "POST":
            self.stats = self.stats.reset(time.monotonic())
            self.admitted.clear()
            return _json({"status": "ok"})
        return _error(404, f"no such path: {request.method} {path}", code="not_found")

    async def _paid(self, request: web.BaseRequest, chat: bool) -> web.StreamResponse:
        """Counts the request and whatever comes of it."""
        request["arrived"] = time.monotonic()
        self.stats.arrive(request["arrived"])
        status = "500"
        try:
            raw = await request.content.read()
            response = await self._serve(request, raw, chat)
            status = "reset" if response.status == _RESET else str(response.status)
            return response
        except _Refusal as refusal:
            status = str(refusal.status)
            self.stats.refused[refusal.why] += 1
            return _error(refusal.status, refusal.message, **refusal.details)
        except ConnectionError:
            status = "gone"  # the client left
            return web.Response(status=499)
        finally:
            self.stats.by_status[status] += 1
            self.stats.in_flight -= 1

    async def _serve(self, request: web.BaseRequest, raw: bytes, chat: bool) -> web.StreamResponse:
        body = self._accept(request, raw, chat)
        digest = int.from_bytes(blake2b(raw, digest_size=8, key=str(self.settings.seed).encode()).digest(), "big")
        fault = self._fault(digest, self.stats.attempt(digest))
        if fault:
            self.stats.faults[fault] += 1
        if fault == "reset":
            return _cut_off(request)
        if fault in faults.REFUSALS:
            status, code, message = faults.REFUSALS[fault]
            return _error(status, message, code=code, retry_after=1 if fault in faults.WAITS else None)
        await self._take_place()
        try:
            return await self._run(request, body, digest, fault, chat)
        finally:
            self._leave_place()

    def _accept(self, request: web.BaseRequest, raw: bytes, chat: bool) -> dict[str, Any]:
        """The parsed body, or _Refusal: key, rate, places, shape; in this order, as endpoints do."""
        settings = self.settings
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if settings.key is not None and given != settings.key:
            # real endpoints echo the key, or parts of it: a client must not pass that on
            raise _Refusal("key", 401, f"Incorrect API key provided: {given}. (simulated)", code="invalid_api_key")
        now = time.monotonic()
        if settings.rpm is not None:
            while self.admitted and self.admitted[0] <= now - MINUTE:
                self.admitted.popleft()
            if len(self.admitted) >= settings.rpm:
                wait = max(1, math.ceil(self.admitted[0] + MINUTE - now))
                raise _Refusal(
                    "rpm", 429, "Requests per minute exceeded. (simulated)", code="rate_limit_exceeded", retry_after=wait
                )
        if settings.overflow == "429" and self.stats.busy >= settings.capacity:
            raise _Refusal("capacity", 429, "Too many requests at once. (simulated)", code="rate_limit_exceeded", retry_after=1)
        self.admitted.append(now)
        try:
            body = orjson.loads(raw)
            problem = _problem(body, settings.response_formats) if chat else _problem_of_texts(body["input"])
        except (ValueError, KeyError, TypeError, AttributeError):
            body, problem = {}, "the body is not a valid request"
        if problem:
            param = "response_format" if "response_format" in problem else None
            raise _Refusal("request", 400, problem, type="invalid_request_error", param=param)
        return body

    def _fault(self, digest: int, attempt: int) -> str | None:
        if not self.settings.fault_rate:
            return None
        draw = random.Random(f"{digest}/{attempt}").random() / self.settings.fault_rate
        return self.settings.faults[int(draw * len(self.settings.faults))] if draw < 1 else None

    async def _take_place(self) -> None:
        if self.stats.busy >= self.settings.capacity or self.line:
            turn = asyncio.get_running_loop().create_future()
            self.line.append(turn)
            await turn  # whoever leaves hands over its place
        else:
            self.stats.occupy(time.monotonic(), 1)

    def _leave_place(self) -> None:
        if self.line:
            self.line.popleft().set_result(None)
        else:
            self.stats.occupy(time.monotonic(), -1)

    async def _run(
        self, request: web.BaseRequest, body: dict[str, Any], digest: int, fault: str | None, chat: bool
    ) -> web.StreamResponse:
        if _gone(request):  # left while it waited in line: never run, never billed
            self.stats.abandoned += 1
            raise ConnectionResetError
        settings = self.settings
        latency = latency_of(settings, digest)
        answer = answers.completion(body, digest, self.world) if chat else answers.embeddings(body)
        usage = answer["usage"]
        faults.spoil_answer(fault, answer)
        content, content_type = faults.spoil_body(fault, orjson.dumps(answer), digest)
        if fault == "slow":
            response = await self._drip(request, content, max(10 * latency, settings.slow_seconds))
        else:
            if latency:
                await asyncio.sleep(latency)
            response = web.Response(body=content, content_type=content_type, headers=_HEADERS)
        now = time.monotonic()
        self.stats.bill(request["arrived"], usage["prompt_tokens"], usage.get("completion_tokens", 0))
        if fault in (None, "slow"):
            self.stats.sell(now, digest, delivered=not _gone(request))
            if not chat:
                self.stats.sell_vectors(body)
        return response

    async def _drip(self, request: web.BaseRequest, content: bytes, seconds: float) -> web.StreamResponse:
        response = web.StreamResponse(headers=_HEADERS | {"Content-Type": "application/json"})
        response.content_length = len(content)
        await response.prepare(request)
        pieces = min(len(content), max(2, int(seconds / 0.05)))
        size = math.ceil(len(content) / pieces)
        for start in range(0, len(content), size):
            await asyncio.sleep(seconds / pieces)
            if _gone(request):
                return response
            with contextlib.suppress(ConnectionError):
                await response.write(content[start : start + size])
        await response.write_eof()
        return response


def latency_of(settings: Settings, digest: int) -> float:
    """Seconds that a request takes: log-normal, by its body alone."""
    return settings.median * math.exp(random.Random(digest).gauss(0, settings.sigma)) if settings.median else 0.0


def _problem(body: Any, response_formats: str) -> str | None:
    messages = body["messages"]
    if not (isinstance(messages, list) and messages and all(isinstance(message, dict) for message in messages)):
        return "messages is not a list of messages"
    if body.get("stream"):
        return "stream is not supported by this simulation"
    kind = (body.get("response_format") or {}).get("type", "text")
    if kind not in {"json_object": ("text", "json_object"), "none": ("text",)}.get(response_formats, (kind,)):
        return f"response_format of type {kind!r} is not supported by this server"
    if response_formats == "ignore":
        body.pop("response_format", None)
    return None


def _problem_of_texts(texts: Any) -> str | None:
    """The limits that OpenAI sets to its embedding models; a token is four characters here."""
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not 1 <= len(texts) <= MAX_TEXTS or not all(isinstance(t, str) and t for t in texts):
        return f"input is not 1 to {MAX_TEXTS} texts"
    tokens = [math.ceil(len(text) / 4) for text in texts]
    if max(tokens) > MAX_TOKENS_OF_TEXT:
        return f"a text of {max(tokens)} tokens: this model reads at most {MAX_TOKENS_OF_TEXT}"
    return f"{sum(tokens)} tokens in one request: at most {MAX_TOKENS}" if sum(tokens) > MAX_TOKENS else None


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json", headers=headers or _HEADERS)


def _error(status: int, message: str, retry_after: int | None = None, **details: Any) -> web.Response:
    headers = _HEADERS if retry_after is None else _HEADERS | {"Retry-After": str(retry_after)}
    return _json({"error": {"message": message, "type": "simulated", "param": None, "code": None} | details}, status, headers)


def _gone(request: web.BaseRequest) -> bool:
    return request.transport is None or request.transport.is_closing()


def _cut_off(request: web.BaseRequest) -> web.Response:
    """A TCP reset instead of an answer."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response(status=_RESET)
