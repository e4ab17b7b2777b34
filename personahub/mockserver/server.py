"""A real OpenAI-compatible server on loopback that simulates a paid endpoint: capacity, latency, faults, and a count of sales.

It is a simulation and never presented as a model: each response says so (`system_fingerprint: "simulated"`, `x-simulated: true`).
Answers and latency depend on (seed, body) only, faults also on how often that body was asked, so that a retry can pass.

    POST /v1/chat/completions, POST /v1/embeddings, GET /v1/models, GET /health, GET /stats, POST /stats/reset
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from aiohttp import web

from personahub.mockserver.endpoint import Endpoint, Settings


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
    """Blocks until SIGINT or SIGTERM. `ready` is told the base_url once the server accepts connections."""
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

    `changes` are fields of Settings. The expected key travels in the child's environment, never in its arguments.
    """
    settings = replace(settings or Settings(port=0), **changes)
    command = [sys.executable, "-m", "personahub.mockserver", "--until-stdin-closes"]
    for field in fields(Settings):
        value = getattr(settings, field.name)
        if field.name != "key" and value is not None:
            command += [f"--{field.name.replace('_', '-')}", ",".join(value) if field.name == "faults" else str(value)]
    environment = dict(os.environ)
    if settings.key is not None:
        command += ["--require-key-env", "PERSONAHUB_MOCK_KEY"]
        environment["PERSONAHUB_MOCK_KEY"] = settings.key
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)
    try:
        line = child.stdout.readline() if child.stdout else ""
        if not line:
            raise RuntimeError(f"the mock server did not start (exit code {child.wait()}): is port {settings.port} in use?")
        yield Running(base_url=line.split()[-1], pid=child.pid)
    finally:
        child.terminate()
        child.communicate()


def main(arguments: list[str] | None = None) -> None:
    """`python -m personahub.mockserver --port 8000 ...`: prints its base_url as the last word of its first line."""
    parser = argparse.ArgumentParser(description="A simulated OpenAI-compatible endpoint on loopback.")
    types = {"port": int, "capacity": int, "rpm": int, "seed": int, "overflow": str, "response_formats": str, "faults": str}
    for field in fields(Settings):
        if field.name != "key":
            parser.add_argument(f"--{field.name.replace('_', '-')}", type=types.get(field.name, float))
    parser.add_argument(
        "--require-key-env", metavar="NAME", help="answer 401 unless the key in this environment variable is sent"
    )
    parser.add_argument("--until-stdin-closes", action="store_true", help="end with the process that started this one")
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    if given.pop("until_stdin_closes"):
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    if name := given.pop("require_key_env", None):
        given["key"] = os.environ[name]
    if "faults" in given:
        given["faults"] = tuple(given["faults"].split(","))

    def ready(base_url: str) -> None:
        sys.stdout.write(f"simulated endpoint at {base_url}\n")
        sys.stdout.flush()

    serve(Settings(**given), ready)


def _end_with_stdin() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)
