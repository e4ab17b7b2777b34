"""Carries the governor between the driver and the tasks: a small HTTP server here, a link there.

It sees no key but a secret of Databricks, which only the driver can read: a task asks for it once. The token travels with each report,
in plain text; so a secret is masked by a pad that travels in the plan only, as the token does at first.
"""

import asyncio
import hashlib
import hmac
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any, Protocol

import aiohttp
import orjson
from aiohttp import web

from personahub.errors import AuthenticationError
from personahub.llm.governor import Governor
from personahub.llm.keys import databricks_secret
from personahub.llm.types import Counts, EndpointGrant, EndpointReport, Grant, Report

ONLY_THE_DRIVER = (
    "cannot read api_key_secret {name}: only the driver can, and this executor cannot reach it. Give the cluster an environment variable "
    "with the value {{{{secrets/{name}}}}}, and name it by api_key_env"
)


class Link(Protocol):
    """How a task reaches its governor; None means that it could not, this time."""

    async def report(self, report: Report) -> Grant | None: ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Address:
    """Where a governor listens, and the token that opens it."""

    url: str
    token: str
    pad: str = field(default="", repr=False)


class LocalLink:
    """A governor of this task's own, with a static share of the limits."""

    def __init__(self, governor: Governor) -> None:
        self._governor = governor

    async def report(self, report: Report) -> Grant | None:
        return self._governor.report(report)

    async def close(self) -> None:
        pass


class HttpLink:
    """The governor on the driver. Make and use it in one event loop."""

    def __init__(self, address: Address) -> None:
        self._url = f"{address.url}/report"
        self._session = aiohttp.ClientSession(
            headers={"authorization": f"Bearer {address.token}"}, timeout=aiohttp.ClientTimeout(total=3), trust_env=False
        )

    async def report(self, report: Report) -> Grant | None:
        try:
            async with self._session.post(self._url, data=orjson.dumps(report)) as response:
                return _read_grant(orjson.loads(await response.read())) if response.status == 200 else None
        except (aiohttp.ClientError, asyncio.TimeoutError, ValueError, TypeError, KeyError):
            return None

    async def close(self) -> None:
        await self._session.close()


def _read_grant(sent: dict[str, Any]) -> Grant:
    return Grant(**{**sent, "endpoints": tuple(EndpointGrant(**each) for each in sent["endpoints"])})


def _read_report(sent: dict[str, Any]) -> Report:
    told = (EndpointReport(**{**each, "counts": Counts(**each["counts"])}) for each in sent["endpoints"])
    return Report(**{**sent, "endpoints": tuple(told)})


async def reachable(address: Address) -> bool:
    """Can this process talk to the governor?"""
    try:
        timeout = aiohttp.ClientTimeout(total=3)
        headers = {"authorization": f"Bearer {address.token}"}
        async with aiohttp.ClientSession(timeout=timeout, headers=headers, trust_env=False) as session:
            async with session.get(f"{address.url}/health") as response:
                return response.status == 200
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError):
        return False


async def fetch_secret(address: Address, name: str) -> str:
    """What the driver knows as scope/key. Raises AuthenticationError, with the driver's reason where it has one."""
    try:
        timeout, headers = aiohttp.ClientTimeout(total=60), {"authorization": f"Bearer {address.token}"}
        async with aiohttp.ClientSession(timeout=timeout, headers=headers, trust_env=False) as session:
            async with session.get(f"{address.url}/secret", params={"name": name}) as response:
                body = await response.read()
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError):
        raise AuthenticationError(ONLY_THE_DRIVER.format(name=name)) from None
    if response.status != 200:
        raise AuthenticationError(body.decode(errors="replace"))
    return _masked(body, address.pad, name).decode()


def _masked(text: bytes, pad: str, name: str) -> bytes:
    """And back again."""
    stream = hashlib.shake_256(f"{pad}/{name}".encode()).digest(len(text))
    return bytes(one ^ other for one, other in zip(text, stream, strict=True))


class GovernorServer:
    """Serves one governor from a thread of the driver. Use as a context manager; `address` is what the tasks need.

    secrets: the names, scope/key, that a task may ask for.
    """

    def __init__(
        self, governor: Governor, host: str = "127.0.0.1", advertise: str | None = None, secrets: Iterable[str] = ()
    ) -> None:
        self._governor = governor
        self._secrets = frozenset(secrets)
        self._host = host
        self._advertise = advertise or host
        self._token, self._pad = token_hex(16), token_hex(16)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="governor", daemon=True)
        self.address = Address("", self._token, self._pad)

    def __enter__(self) -> "GovernorServer":
        self._thread.start()
        self._ready.wait(timeout=30)
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            runner = self._loop.run_until_complete(self._start())
        except OSError as error:
            self._failure = error
            self._ready.set()
            return
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def _start(self) -> web.AppRunner:
        app = web.Application()
        app.add_routes([web.post("/report", self._report), web.get("/health", self._health), web.get("/secret", self._secret)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, self._host, 0)
        await site.start()
        port = runner.addresses[0][1]
        self.address = Address(f"http://{self._advertise}:{port}", self._token, self._pad)
        return runner

    def _allowed(self, request: web.Request) -> bool:
        return hmac.compare_digest(request.headers.get("authorization", ""), f"Bearer {self._token}")

    async def _report(self, request: web.Request) -> web.Response:
        if not self._allowed(request):
            return web.Response(status=401)
        sent = orjson.loads(await request.read())
        grant = self._governor.report(_read_report(sent))
        return web.Response(body=orjson.dumps(grant), content_type="application/json")

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response(status=200 if self._allowed(request) else 401)

    async def _secret(self, request: web.Request) -> web.Response:
        name = request.query.get("name", "")
        if not self._allowed(request) or name not in self._secrets:
            return web.Response(status=401, text=f"the driver gives no secret {name} to this task")
        try:  # not in the loop: it may ask a server
            secret = await asyncio.get_running_loop().run_in_executor(None, databricks_secret, name)
        except AuthenticationError as error:
            return web.Response(status=404, text=str(error))
        return web.Response(body=_masked(secret.encode(), self._pad, name))
