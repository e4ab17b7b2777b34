"""What the mock server does with one request: admit it, give it a place, answer it or let a fault strike, and count it."""

import asyncio
import contextlib
import math
import random
import re
import socket
import struct
import time
from collections import deque
from hashlib import blake2b
from typing import Any

import orjson
from aiohttp import web

from personahub.mockserver import answers, faults, shapes
from personahub.mockserver.admission import Admission, Refusal
from personahub.mockserver.batches import Batches
from personahub.mockserver.problems import Problem
from personahub.mockserver.profiles import PLAIN, PROFILES, Billed, PrefixCache
from personahub.mockserver.refusals import text_of
from personahub.mockserver.settings import Settings
from personahub.mockserver.stats import Stats
from personahub.mockserver.world import World

_HEADERS = {"x-simulated": "true"}
_RESET = 444  # seen in the counts only: the connection is gone


class Endpoint:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.profile = PROFILES[settings.like] if settings.like else PLAIN
        self.faults = tuple(kind for kind in settings.faults if self.profile.limits or kind != "429")
        self.cache = PrefixCache(self.profile)
        self.stats = Stats()
        self.world = World(settings.seed, settings.duplicates)
        self.line: deque[asyncio.Future[None]] = deque()
        self.admission = Admission(settings, self.profile)
        self.batches = Batches(settings.batch_ends, settings.batch_seconds, self._answer_in_batch)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = self._path(request)
        if path in ("/v1/chat/completions", "/v1/embeddings") and request.method == "POST":
            return await self._paid(request, chat=path.endswith("completions"))
        if path.startswith(("/v1/files", "/v1/batches")):
            problem = self.admission.key_problem(request.headers)
            return self._reply(problem) if problem else await self.batches.handle(request, path)
        if path == "/v1/models":
            return _json({"object": "list", "data": [{"id": "mock", "object": "model", "owned_by": "simulated"}]})
        if path == "/health":
            return _json({"status": "ok", "simulated": True})
        if path == "/stats":
            return _json(self.stats.snapshot(time.monotonic(), self.settings.capacity) | {"batches": self.batches.count})
        if path == "/stats/reset" and request.method == "POST":
            self.stats = self.stats.reset(time.monotonic())
            self.admission.forget()
            return _json({"status": "ok"})
        return self._reply(Problem(404, f"no such path: {request.method} {path}", "not_found"))

    def _path(self, request: web.BaseRequest) -> str:
        """Azure's paths are read as those of others; its older ones, a path for each deployment, want to know the version."""
        found = re.fullmatch(r"/openai/(v1|deployments/[^/]+)(/.+)", request.path) if self.profile.deployments else None
        if found is None or (found[1] != "v1" and "api-version" not in request.query):
            return request.path
        return f"/v1{found[2]}"

    async def _paid(self, request: web.BaseRequest, chat: bool) -> web.StreamResponse:
        """Counts the request and whatever comes of it."""
        request["arrived"] = time.monotonic()
        self.stats.arrive(request["arrived"])
        status = "500"
        try:
            raw = await request.content.read()
            digest = self._digest(raw)
            response = await self._serve(request, raw, digest, chat)
            status = "reset" if response.status == _RESET else str(response.status)
            return response
        except Refusal as refusal:
            self.stats.refused[refusal.why] += 1
            response = self._reply(refusal.problem, digest)
            status = str(response.status)
            return response
        except ConnectionError:
            status = "gone"  # the client left
            return web.Response(status=499)
        finally:
            self.stats.by_status[status] += 1
            self.stats.in_flight -= 1

    async def _serve(self, request: web.BaseRequest, raw: bytes, digest: int, chat: bool) -> web.StreamResponse:
        body = self._accept(request, raw, digest, chat)
        fault = self._fault(digest, self.stats.attempt(digest))
        if fault:
            self.stats.faults[fault] += 1
        if fault == "reset":
            self.stats.untold_bodies.add(digest)
            return _cut_off(request)
        if fault in faults.REFUSALS:
            status, code, message = faults.REFUSALS[fault]
            return self._reply(Problem(status, message, code, retry_after=1 if fault in faults.WAITS else None), digest)
        await self._take_place()
        try:
            return await self._run(request, body, digest, fault, chat)
        finally:
            self._leave_place()

    def _accept(self, request: web.BaseRequest, raw: bytes, digest: int, chat: bool) -> dict[str, Any]:
        """The parsed body, or Refusal: key, rate, places, shape, then what the profile does not take; in this order, as endpoints do."""
        self.admission.admit(request.headers, self.stats.busy)
        try:
            body = orjson.loads(raw)
            said = shapes.why_no_chat(body, self.settings.response_formats) if chat else shapes.why_no_texts(body["input"])
        except (ValueError, KeyError, TypeError, AttributeError):
            body, said = {}, "the body is not a valid request"
        if said:
            param = "response_format" if "response_format" in said else None
            raise Refusal("request", Problem(400, said, type="invalid_request_error", param=param))
        problem = self.profile.refuse(body, _draw(digest)) if chat else None
        if problem:
            raise Refusal("request", problem)
        return body

    def _reply(self, problem: Problem, digest: int = 0) -> web.Response:
        reply = self.profile.form(problem, _draw(digest))
        return _json(reply.body, reply.status, _HEADERS | self.admission.headers() | reply.headers)

    def _fault(self, digest: int, attempt: int) -> str | None:
        if not (self.settings.fault_rate and self.faults):
            return None
        draw = random.Random(f"{digest}/{attempt}").random() / self.settings.fault_rate
        return self.faults[int(draw * len(self.faults))] if draw < 1 else None

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
        latency = latency_of(self.settings, digest)
        answer, billed, struck = self._answer(body, digest, fault) if chat else _vectors(body)
        faults.spoil_answer(fault, answer)
        content, content_type = faults.spoil_body(fault, orjson.dumps(answer), digest)
        if fault == "slow":
            response = await self._drip(request, content, max(10 * latency, self.settings.slow_seconds))
        else:
            if latency:
                await asyncio.sleep(latency)
            response = web.Response(body=content, content_type=content_type, headers=_HEADERS | self.admission.headers())
        now, gone = time.monotonic(), _gone(request)
        told = bool(answer.get("usage")) and fault not in faults.WITHOUT_USAGE and not gone
        self.stats.bill(request["arrived"], digest, billed, told)
        if struck:
            self.stats.faults[struck] += 1
        elif fault in (None, "slow"):
            self.stats.sell(now, digest, delivered=not gone)
            if not chat:
                self.stats.sell_vectors(body)
        return response

    def _answer(self, body: dict[str, Any], digest: int, fault: str | None) -> tuple[dict[str, Any], Billed, str | None]:
        """A chat completion, what it is billed, and what the profile did to it that makes it no good answer."""
        profile, draw = self.profile, random.Random(f"{digest}/{self.stats.attempts[digest]}/profile")
        seen = profile.shorten(body)
        answer = answers.completion(seen, digest, self.world)
        struck = None if fault else profile.strike(answer, seen, draw, self.settings.odd_rate)
        usage, thoughts = answer["usage"], draw.randint(profile.thoughts // 2, profile.thoughts)
        cached = min(self.cache.cached(text_of(seen)), usage["prompt_tokens"])
        billed = Billed(usage["prompt_tokens"], usage["completion_tokens"] + thoughts, cached, thoughts)
        del answer["usage"]
        return answer | profile.tell(billed), billed, struck

    def _answer_in_batch(self, raw: bytes) -> tuple[int, Any]:
        """What a line of a batch gets: the status and body that the same request has online. Counted and sold like that."""
        now, digest, body = time.monotonic(), self._digest(raw), orjson.loads(raw)
        self.stats.arrive(now)
        self.stats.in_flight -= 1
        problem, fault = self.profile.refuse(body, _draw(digest)), self._fault(digest, self.stats.attempt(digest))
        if fault:
            self.stats.faults[fault] += 1
        if fault in faults.REFUSALS:
            status, code, message = faults.REFUSALS[fault]
            problem = Problem(status, message, code)
        if problem:
            reply = self.profile.form(problem, _draw(digest))
            return reply.status, reply.body
        answer, billed, struck = self._answer(body, digest, fault)
        faults.spoil_answer(fault, answer)
        self.stats.bill(now, digest, billed, told=bool(answer.get("usage")))
        if struck:
            self.stats.faults[struck] += 1
        elif fault is None or fault in faults.OF_CONNECTIONS:
            self.stats.sell(now, digest, delivered=True)
        return 200, answer

    def _digest(self, raw: bytes) -> int:
        return int.from_bytes(blake2b(raw, digest_size=8, key=str(self.settings.seed).encode()).digest(), "big")

    async def _drip(self, request: web.BaseRequest, content: bytes, seconds: float) -> web.StreamResponse:
        response = web.StreamResponse(headers=_HEADERS | self.admission.headers() | {"Content-Type": "application/json"})
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


def _vectors(body: dict[str, Any]) -> tuple[dict[str, Any], Billed, None]:
    answer = answers.embeddings(body)
    return answer, Billed(answer["usage"]["prompt_tokens"], 0), None


def _draw(digest: int) -> float:
    return digest / 2**64


def latency_of(settings: Settings, digest: int) -> float:
    """Seconds that a request takes: log-normal, by its body alone."""
    return settings.median * math.exp(random.Random(digest).gauss(0, settings.sigma)) if settings.median else 0.0


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json", headers=headers or _HEADERS)


def _gone(request: web.BaseRequest) -> bool:
    return request.transport is None or request.transport.is_closing()


def _cut_off(request: web.BaseRequest) -> web.Response:
    """A TCP reset instead of an answer."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response(status=_RESET)
