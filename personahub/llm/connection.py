"""One endpoint and what one HTTP request to it gives: the `openai` SDK on aiohttp, without its retries, which are wrong for paid batches.

One attempt is one HTTP request; whatever comes of it is a value (`types.Attempt`), never an exception. Policy lives elsewhere.
"""

import asyncio
import dataclasses
import ipaddress
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import openai

from personahub.config import Model
from personahub.errors import AuthorisationError, ConfigError, ErrorKind
from personahub.llm import responses
from personahub.llm.types import Attempt

_MESSAGE = 500  # characters of an error message that are kept
# left out: they describe the user's machine to the endpoint, and cost 6 % of a call's CPU
_TELEMETRY = ("Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version", "Async", "Retry-Count", "Read-Timeout")


def read_key(model: Model) -> str | None:
    """The endpoint's key: from `api_key_env`, else from `api_key_file`. None where none is needed.

    That is on loopback without any key, and anywhere if both settings are null. Raises AuthorisationError, which says what to set.
    """
    env, file = model.api_key_env, model.api_key_file
    key = os.environ.get(env, "").strip() if env else ""
    if not key and file:
        try:
            key = Path(file).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not text"
            raise AuthorisationError(f"cannot read the key from api_key_file {file}: {why}") from None
        if not key:
            raise AuthorisationError(f"api_key_file {file} is blank: put the endpoint's key into it")
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        where = f"environment variable {env}" if env and os.environ.get(env, "").strip() else f"file {file}"
        raise AuthorisationError(
            f"the key in the {where} holds spaces, line breaks or characters outside ASCII: is it the right one?"
        )
    if key or _is_loopback(model.base_url) or not (env or file):
        return key or None
    raise AuthorisationError(
        f"no key for {model.base_url}: set the environment variable {env or 'that api_key_env names'} where the calls are made "
        "(on a cluster: on the executors), or name a file with api_key_file; if the endpoint needs none, set api_key_env to null"
    )


def _is_loopback(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class Connection:
    """One per event loop: make it, use it and close it inside the same running loop. Opens nothing yet."""

    def __init__(self, model: Model, key: str | None) -> None:
        self._model = model
        self._key = key
        # the SDK builds on httpx or httpx2, by version; the last base of its client tells which
        http = sys.modules[openai.DefaultAioHttpClient.__mro__[-2].__module__.partition(".")[0]]
        pool = max(100, model.max_concurrent_requests)
        self._client = openai.AsyncOpenAI(
            base_url=model.base_url,
            api_key=key or "none",  # never None: the SDK would look for another key in the environment
            max_retries=0,
            timeout=model.request_timeout,
            default_headers={f"X-Stainless-{name}": openai.Omit() for name in _TELEMETRY},
            http_client=openai.DefaultAioHttpClient(
                limits=http.Limits(max_connections=pool, max_keepalive_connections=pool),
                trust_env=not _is_loopback(model.base_url),  # a proxy of the environment can not reach this machine's loopback
            ),
        )

    async def post(self, path: str, body: dict[str, Any], judge: Callable[[Any], Attempt]) -> Attempt:
        """Exactly one HTTP request; `judge` says what a 200 with this body is. Raises nothing but CancelledError.

        Ends within `request_timeout` seconds, however slowly a body drips. A bad answer carries the tokens it was billed with.
        """
        started = time.perf_counter()
        try:
            request = self._client.post(path, cast_to=object, body=body)
            result = judge(await asyncio.wait_for(request, self._model.request_timeout))
        except Exception as error:
            result = _failed(error, self._model)
        message, text = self._scrub(result.message), self._scrub(result.text)
        return dataclasses.replace(
            result, message=message and message[:_MESSAGE], text=text, latency_s=time.perf_counter() - started
        )

    async def close(self) -> None:
        """Closes the connections. Requests still in flight fail."""
        await self._client.close()

    def _scrub(self, text: str | None) -> str | None:
        """Some endpoints echo the key in their errors."""
        return text.replace(self._key, "***") if text and self._key and self._key in text else text


def _is_timeout(error: BaseException) -> bool:
    if isinstance(error, asyncio.TimeoutError):
        return True
    if not isinstance(error, openai.APITimeoutError):
        return False
    # the SDK's transport calls every lost connection a connect timeout: only the first cause tells
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return isinstance(cause, asyncio.TimeoutError) or not isinstance(cause, aiohttp.ClientError | OSError)


def _failed(error: Exception, model: Model) -> Attempt:
    if _is_timeout(error):
        return Attempt(ErrorKind.TIMEOUT, message=f"no whole response within request_timeout ({model.request_timeout:g} s)")
    if isinstance(error, openai.APIStatusError):
        return responses.judge_error(error.status_code, error.body, error.response.headers)
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__ or error
        return Attempt(ErrorKind.CONNECTION, message=f"no connection to {model.base_url}: {cause.__cause__ or cause}")
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError | openai.APIResponseValidationError | RecursionError):
        return Attempt(ErrorKind.MALFORMED, message=f"the response is cut off or no JSON: {type(error).__name__}: {error}")
    if isinstance(error, ConfigError | TypeError | ValueError):
        return Attempt(ErrorKind.BAD_REQUEST, message=f"the request can not be written as JSON: {type(error).__name__}: {error}")
    return Attempt(ErrorKind.CONNECTION, message=f"{model.base_url}: {type(error).__name__}: {error}")
