"""Run a program and say what came of it. A server of programs waits in the sandbox, with libraries loaded; each program is a fork of it."""

import atexit
import json
import os
import select
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import Literal

from personahub.sandbox import backends
from personahub.sandbox.backends import LIMITS_ONLY, Backend, Started

MAX_OUTPUT = 64_000  # bytes kept of what a program prints, and of its errors
START_SECONDS = 120.0  # until libraries are loaded
GRACE_SECONDS = 2.0  # beyond a program's time, until its server says what came of it
PROGRAMS_PER_SERVER = 2_000

Status = Literal["ok", "error", "timeout", "memory", "killed", "refused"]


@dataclass(frozen=True, slots=True)
class ProgramResult:
    """status: `ok` where it ended by itself without an error; `refused` where there is no wall to run it behind.

    stdout, stderr: the first 64,000 bytes each. strength: the wall that it ran behind: sandlock, bubblewrap, limits_only.
    """

    status: Status
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0
    strength: str = "none"


def run_program(code: str, *, timeout_s: float = 10, memory_mb: int = 512, limits_only: bool = False) -> ProgramResult:
    """Run Python source in the sandbox, in a process of its own, and return what it printed. Raises nothing for what the program does.

    timeout_s: of wall time. memory_mb: beyond what the interpreter and its libraries take. Programs may import the standard library, and
    sympy and z3 where they are installed. Where this machine has no wall (Linux with Landlock and the extra `verification`, or bubblewrap)
    the program is refused; limits_only: run it then with limits alone, which keeps it from no file and no network.
    """
    with _lock:
        backend = _wall() or (LIMITS_ONLY if limits_only else None)
        if backend is None:
            return ProgramResult("refused", stderr=NO_WALL)
        return run_behind(backend, code, timeout_s, memory_mb)


def run_behind(backend: Backend, code: str, timeout_s: float = 10, memory_mb: int = 512) -> ProgramResult:
    """The same behind a wall of one's choice. One program at a time."""
    server = _server(backend)
    if server is None:
        return ProgramResult("refused", stderr=f"the sandbox ({backend.strength}) does not start here", strength=backend.strength)
    return server.run(code, timeout_s, memory_mb)


NO_WALL = (
    "no sandbox here: pip install 'personahub[verification]' on Linux 5.13 or newer, or install bubblewrap; where programs of models "
    "may read your files and reach the network, verification.sandbox: limits_only runs them with limits alone"
)


class _Server:
    """One sandbox with its folder, and how many programs it has run."""

    def __init__(self, backend: Backend) -> None:
        self.strength, self.owner, self.programs = backend.strength, os.getpid(), 0
        self.folder = tempfile.mkdtemp(prefix="personahub-program-")
        self.process: Started | None = None
        try:
            self.process = backend.start(self.folder)
            self.ready = self._line(START_SECONDS) == b"ready\n"
        except Exception:  # whatever keeps it from starting, the next wall is tried
            self.ready = False

    def run(self, code: str, timeout_s: float, memory_mb: int) -> ProgramResult:
        """One program. Where no answer comes, it has ended its server, or keeps it from answering: both are ended."""
        assert self.process is not None
        request = {"code": code, "timeout_s": timeout_s, "memory_mb": memory_mb, "max_output": MAX_OUTPUT}
        began = time.monotonic()
        self.programs += 1
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
            answer = json.loads(self._line(timeout_s + GRACE_SECONDS) or b"")
            last = answer.pop("left_over") or self.programs >= PROGRAMS_PER_SERVER
            result = ProgramResult(**answer, strength=self.strength)
        except (OSError, ValueError, TypeError, AttributeError, KeyError):
            seconds = time.monotonic() - began
            last, result = (
                True,
                ProgramResult("timeout" if seconds >= timeout_s else "killed", seconds=seconds, strength=self.strength),
            )
        if last:
            self.stop()
        return result

    def stop(self) -> None:
        self.ready = False
        if self.process is not None and self.owner == os.getpid():
            self.process.kill()
            self.process = None
        if self.owner == os.getpid():
            shutil.rmtree(self.folder, ignore_errors=True)

    def _line(self, seconds: float) -> bytes | None:
        """The next line, whole, or None."""
        assert self.process is not None
        end, deadline, line = self.process.stdout.fileno(), time.monotonic() + seconds, b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([end], [], [], max(0.0, deadline - time.monotonic()))
            piece = os.read(end, 1 << 20) if ready else b""
            if not piece or len(line) > 8 * MAX_OUTPUT:
                return None
            line += piece
        return line


_lock = threading.Lock()
_servers: dict[str, _Server] = {}
_found: list[Backend | None] = []  # the wall, once it is known


def _wall() -> Backend | None:
    """The first backend whose sandbox starts here."""
    if not _found:
        _found.append(next((backend for backend in backends.walls() if _server(backend) is not None), None))
    return _found[0]


def _server(backend: Backend) -> _Server | None:
    server = _servers.get(backend.strength)
    if server is None or not server.ready or server.owner != os.getpid():
        server = _servers[backend.strength] = _Server(backend)
        if not server.ready:
            server.stop()
    return server if server.ready else None


@atexit.register
def _stop_all() -> None:
    for server in _servers.values():
        server.stop()
