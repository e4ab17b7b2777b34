"""The embedded engine: Sail, a Spark Connect server in a wheel, in a child process of its own. No Java.

A child and not a thread: the functions that the engine runs do not hold the interpreter lock against the driver, whose governor and lease
must not wait, and what ends the engine (the system, for want of memory) leaves a driver that can say so. It costs 0.3 s at the start.

The server listens on loopback, on a port that the system chooses, and asks no caller for a password: on a machine that is shared with
people who must not run code as this user, take Spark (`spark.engine: spark`).
"""

import atexit
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import IO, Any

from pyspark.sql import SparkSession

from personahub import subprocesses
from personahub.config import Config
from personahub.errors import ConfigError, PersonahubError

# of Sail, for a laptop's hub
_SETTINGS = {
    "SAIL_SPARK__SESSION_TIMEOUT_SECS": "31536000",  # a session waits as long as a question to its user
    "SAIL_PARQUET__COMPRESSION": "snappy",  # zstd takes more time than it saves of what is mostly hashes and vectors
    "RUST_LOG": "error",
    # tasks are threads already, one a core: more of BLAS's wait for each other with the cores busy, a third of the time
    **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    # one allocator for numpy and Arrow, of two arenas: a fifth of the memory of a million personas. Blocks of up to 16 MB are taken
    # again and not given back, as the system clears what it gives: a tenth of the time
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(16 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
}
_MODULE = "personahub.engines.server"


@dataclass(frozen=True)
class _Server:
    process: subprocess.Popen
    log: IO[bytes] | None
    environment: Mapping[str, str]  # that it was started with


_servers: dict[str, _Server] = {}  # by the session


def is_installed() -> bool:
    """Is there a wheel of the engine here?"""
    return find_spec("pysail") is not None


def open_session(verbose: bool) -> SparkSession:
    """A session on a new server, which ends with this process. Raises ConfigError where the engine is not installed."""
    if not is_installed():
        raise ConfigError("the embedded engine is not installed: pip install pysail, or take Spark (spark.engine: spark)")
    server, port = _start(verbose)
    session: Any = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").create()
    # no retries: a server of this machine that does not answer has ended, and a paid query must not run twice
    session.client.set_retry_policies([])
    _servers[session.session_id] = server
    return session


def is_ours(session: Any) -> bool:
    """Does a server of this process answer it?"""
    return session.session_id in _servers


def serves(session: Any, config: Config) -> bool:
    """Can a run of `config` use this session, if it is one of ours? Its server must be alive and see the keys that this process sees."""
    server = _servers.get(session.session_id) if hasattr(session, "session_id") else None
    if server is None:
        return True
    if server.process.poll() is not None:
        del _servers[session.session_id]
        return False
    keys = {name for model in config.models.values() for name in model.variables}
    return all(os.environ.get(key) == server.environment.get(key) for key in keys)


def why_it_ended() -> str | None:
    """Why a server of this process has ended, as a message for the user; None if all are running."""
    for server in _servers.values():
        code = server.process.poll()
        if code is not None:
            lines = _end_of(server.log)
            killed = "killed, by the system if memory was short" if code == -9 else f"exit code {code}"
            return f"the embedded engine has ended ({killed}){f': {lines}' if lines else ''}"
    return None


def _start(verbose: bool) -> tuple[_Server, int]:
    environment = subprocesses.environment() | _SETTINGS
    log = None if verbose else tempfile.TemporaryFile()  # noqa: SIM115  open as long as the server
    # a session of its own: Ctrl-C reaches only the process that started it, and that decides what ends
    process = subprocess.Popen(
        subprocesses.command(_MODULE),
        stdin=subprocess.PIPE,  # closed by the end of this process, however it ends: the server's sign to end
        stdout=subprocess.PIPE,
        stderr=log,
        env=environment,
        start_new_session=True,
    )
    port = process.stdout.readline().strip()  # type: ignore[union-attr]
    if not port:
        process.wait()
        raise PersonahubError(f"the embedded engine did not start:\n{_end_of(log)}")
    return _Server(process, log, environment), int(port)


def _end_of(log: IO[bytes] | None) -> str:
    if log is None:
        return ""
    log.seek(0)
    return "\n".join(log.read().decode(errors="replace").splitlines()[-15:])


@atexit.register
def _end() -> None:
    for server in _servers.values():
        server.process.stdin.close()  # type: ignore[union-attr]
        server.process.wait()
