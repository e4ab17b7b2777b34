"""One endpoint and what one HTTP request to it gives, on aiohttp.

One attempt is one HTTP request; whatever comes of it is a value (`types.Attempt`), never an exception. Policy lives elsewhere. The
openai SDK takes four times the CPU for the same POST, and its retries are wrong for paid batches.
"""

import asyncio
import dataclasses
import ipaddress
import json
import os
import re
import ssl
import time
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import orjson
import truststore
from aiohttp_socks import ProxyConnector

from personahub.config import Model
from personahub.errors import ConfigError, ErrorKind
from personahub.llm import error_responses, streams, usage
from personahub.llm.keys import credentials_of, is_loopback
from personahub.llm.types import UNTOLD, Attempt, Usage

_MESSAGE = 500  # characters of an error message that are kept
_CONNECT_SECONDS = 30.0  # a machine that is switched off refuses no connection: nothing comes back
_LOST = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError)  # the connection ended under a request


class Connection:
    """One per event loop: make it, use it and close it inside the same running loop. Opens nothing yet."""

    def __init__(self, model: Model, key: str | None) -> None:
        """Raises AuthenticationError for a variable that `headers` or `query` name and that is not set here."""
        self._model = model
        self._credentials = credentials_of(model, key)
        before, _, query = model.base_url.partition("?")  # as ?api-version=..., which stays behind the path
        queries = [part for part in (query, urlencode(self._credentials.query)) if part]
        self._base_url, self._query = before.rstrip("/"), f"?{'&'.join(queries)}" if queries else ""
        proxy = _proxy_for(model.base_url)
        # socks5h says that the proxy looks names up, as it always does here
        self._socks = re.sub(r"^socks(?:5h)?://", "socks5://", proxy) if proxy and proxy.startswith("socks") else None
        self._proxy = None if self._socks else proxy
        self._session: aiohttp.ClientSession | None = None
        self.headers: Mapping[str, str] = {}  # of the last response

    async def post(self, path: str, body: dict[str, Any], judge: Callable[[Any], Attempt], answer_tokens: int) -> Attempt:
        """Exactly one HTTP request; `judge` says what a 200 with this body is. Raises nothing but CancelledError.

        Ends within `request_timeout` seconds, however slowly a body drips. A bad answer carries the tokens it was billed with. What the
        endpoint does not tell of them is estimated; answer_tokens: the most that an answer may have.
        """
        started = time.perf_counter()
        data = b""
        try:
            data = orjson.dumps(body)
            result = await self._send(path, data, judge)
        except Exception as error:
            result = _failed(error, self._model)
        message = result.message and self._credentials.scrubbed(result.message)
        if result.kind is ErrorKind.AUTHENTICATION:
            message = f"{self._base_url} (model {self._model.model}) refused {self._credentials.said}: {message}"
        return dataclasses.replace(
            result,
            message=message and message[:_MESSAGE],
            usage=usage.completed(result.usage, len(data), answer_tokens),
            latency_s=time.perf_counter() - started,
        )

    async def close(self) -> None:
        """Closes the connections. Requests still in flight fail."""
        if self._session is not None:
            await self._session.close()

    async def _send(self, path: str, body: bytes, judge: Callable[[Any], Attempt]) -> Attempt:
        self._session = self._session or self._open()
        # a redirect is an error: it would carry the key, or the purchase, to another place
        async with self._session.post(
            self._base_url + path + self._query, data=body, proxy=self._proxy, allow_redirects=False
        ) as response:
            content = _parsed(await response.read(), response.charset)
            self.headers = response.headers
            if 200 <= response.status < 300:
                return judge(content)
            return error_responses.judge_error(response.status, content, response.headers)

    def _open(self) -> aiohttp.ClientSession:
        headers = {"content-type": "application/json", "accept": "application/json", "user-agent": "personahub"}
        headers |= {name.lower(): value for name, value in self._credentials.headers.items()}
        limits: dict[str, Any] = {
            "limit": self._model.max_concurrent_requests,
            "ssl": truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        }
        return aiohttp.ClientSession(
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=self._model.request_timeout, sock_connect=_connect_seconds(self._model)),
            connector=aiohttp.TCPConnector(**limits) if self._socks is None else ProxyConnector.from_url(self._socks, **limits),
            cookie_jar=aiohttp.DummyCookieJar(),
        )


def _proxy_for(base_url: str) -> str | None:
    """The environment's; one can not reach this machine's loopback. aiohttp's own trust_env would also take a key from ~/.netrc."""
    url = urlsplit(base_url)
    proxies = urllib.request.getproxies()
    if (
        is_loopback(base_url)
        or urllib.request.proxy_bypass(url.hostname or "")
        or _in_networks(url.hostname, proxies.get("no", ""))
    ):
        return None
    return proxies.get(url.scheme) or proxies.get("all")


def _in_networks(host: str | None, no_proxy: str) -> bool:
    """Whether no_proxy has a network, as 10.0.0.0/8, that the address is in: urllib knows names and whole addresses only."""
    for entry in no_proxy.split(","):
        try:
            if "/" in entry and ipaddress.ip_address(host or "") in ipaddress.ip_network(entry.strip(), strict=False):
                return True
        except ValueError:  # a name
            continue
    return False


def _parsed(content: bytes, charset: str | None = None) -> Any:
    """The JSON value, of a stream that of all its chunks; the text where it is none, such as the page of a proxy.

    charset: the declared one. JSON is UTF-8; another charset is believed where the bytes are none of that.
    """
    try:
        return orjson.loads(content)
    except ValueError:
        pass
    text = _decoded(content, charset)
    try:
        return json.loads(text)  # which takes half a surrogate pair and NaN
    except (ValueError, RecursionError):
        body = streams.joined(text)
        return text if body is None else body


def _decoded(content: bytes, charset: str | None) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    try:
        return content.decode(charset or "utf-8-sig")
    except (LookupError, ValueError):
        return content.decode("utf-8-sig", errors="replace")  # a byte that is no UTF-8 spoils a character, not the answer


def _connect_seconds(model: Model) -> float:
    """The longest wait for a connection: less than for an answer, to tell a request that never left from one that may be billed."""
    return min(_CONNECT_SECONDS, model.request_timeout / 2)


def _failed(error: Exception, model: Model) -> Attempt:
    """Only a request that never left is known not to be billed: after that, an answer may be lost on its way."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        message = f"no connection to {model.base_url} within {_connect_seconds(model):g} s"
        return Attempt(ErrorKind.CONNECTION, message=message, down=True)
    if isinstance(error, aiohttp.ClientSSLError):  # there, but not to be trusted: no waiting mends that
        return Attempt(ErrorKind.CONNECTION, message=f"no connection to {model.base_url}: {error}")
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error  # the error's own words name the host again
        why = os.strerror(cause.errno or 0) if isinstance(cause, ConnectionError) else cause.strerror or cause
        return Attempt(ErrorKind.CONNECTION, message=f"no connection to {model.base_url}: {why}", down=True)
    if isinstance(error, asyncio.TimeoutError):
        message = f"no whole response within request_timeout ({model.request_timeout:g} s)"
        return Attempt(ErrorKind.TIMEOUT, message=message, usage=UNTOLD)
    if isinstance(error, aiohttp.ClientPayloadError):
        return Attempt(ErrorKind.MALFORMED, message=f"the response is cut off: {error}", usage=UNTOLD)
    if isinstance(error, aiohttp.ClientError | OSError):
        message = f"no connection to {model.base_url}: {error or type(error).__name__}"
        return Attempt(ErrorKind.CONNECTION, message=message, usage=UNTOLD if isinstance(error, _LOST) else Usage())
    if isinstance(error, ConfigError | TypeError | ValueError):
        return Attempt(ErrorKind.BAD_REQUEST, message=f"the request can not be written as JSON: {type(error).__name__}: {error}")
    return Attempt(ErrorKind.CONNECTION, message=f"{model.base_url}: {type(error).__name__}: {error}")
