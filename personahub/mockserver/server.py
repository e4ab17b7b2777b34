"""A real OpenAI-compatible server on loopback that simulates a paid endpoint: capacity, latency, faults, and a count of sales.

It is a simulation and never presented as a model: each response says so (`system_fingerprint: "simulated"`, `x-simulated: true`).
Answers and latency depend on (seed, body) only, faults also on how often that body was asked, so that a retry can pass.

    POST /v1/chat/completions, POST /v1/embeddings, GET /v1/models, GET /health, GET /stats, POST /stats/reset,
    and the Batch API of batches.py
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from aiohttp import web

from personahub import subprocesses
from personahub.mockserver.endpoint import Endpoint
from personahub.mockserver.settings import Settings


async def _main(settings: Settings, ready: Callable[[str], None]) -> None:
    runner = web.ServerRunner(web.Server(Endpoint(settings).handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", settings.port, backlog=4096).start()
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):  # not the main thread, or no such signals
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
    ready(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
    await stop.wait()
    await runner.cleanup()


def serve(settings: Settings, ready: Callable[[str], None] = lambda base_url: None) -> None:
    """Blocks until SIGINT or SIGTERM. `ready` gets the base_url once the server accepts connections."""
    asyncio.run(_main(settings, ready))


@dataclass(frozen=True)
class Running:
    """A server in a child process."""

    base_url: str
    pid: int

    def stats(self) -> dict[str, Any]:
        return self._call("GET", "/stats")

    def reset(self) -> None:
        self._call("POST", "/stats/reset")

    def _call(self, method: str, path: str) -> Any:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback never goes through a proxy
        with opener.open(urllib.request.Request(self.base_url.removesuffix("/v1") + path, method=method), timeout=30) as response:
            return json.load(response)


@contextlib.contextmanager
def start(settings: Settings | None = None, **changes: Any) -> Iterator[Running]:
    """Runs a server in a child process, on any free port unless `port` is given; it ends with the block, or with this process.

    `changes` are fields of Settings; they travel through its stdin, so that no argument shows the expected key.
    """
    settings = replace(settings or Settings(port=0), **changes)
    with subprocesses.serving(__name__, json.dumps(asdict(settings))) as (child, line):
        if not line:
            raise RuntimeError(f"the mock server did not start (exit code {child.wait()}): is port {settings.port} in use?")
        yield Running(base_url=line, pid=child.pid)


def main() -> None:
    """The child process of `start`: takes Settings as JSON from the first line of stdin, prints its base_url, and ends when stdin does."""
    given = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_stdin, daemon=True).start()

    def ready(base_url: str) -> None:
        sys.stdout.write(f"{base_url}\n")
        sys.stdout.flush()

    serve(Settings(**{**given, "faults": tuple(given["faults"]), "batch_ends": tuple(given["batch_ends"])}), ready)


def _end_with_stdin() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)
