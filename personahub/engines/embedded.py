"""The embedded engine: Sail, a Spark Connect server in a wheel, in a child process of its own. No Java.

A child and not a thread: a Python function that the engine runs would hold the interpreter lock against the driver, whose governor and
lease must not wait. It listens on loopback, on a port that the system chooses, and asks no caller who he is: on a machine that is shared
with people who must not run code as this user, take Spark (`spark.engine: spark`).
"""

import atexit
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec

from pyspark.sql import SparkSession

from personahub.errors import ConfigError, PersonahubError

# of Sail, for a laptop's hub
_SETTINGS = {
    "SAIL_SPARK__SESSION_TIMEOUT_SECS": "31536000",  # a session may wait for its user's answer as long as he likes
    "SAIL_PARQUET__COMPRESSION": "snappy",  # zstd takes more time than it saves of what is mostly hashes and vectors
    "RUST_LOG": "error",
}
_MODULE = "personahub.engines.server"


def is_installed() -> bool:
    """Is there a wheel of the engine here?"""
    return find_spec("pysail") is not None


def open_session(verbose: bool) -> SparkSession:
    """A session on a new server, which ends with this process. Raises ConfigError where the engine is not installed."""
    if not is_installed():
        raise ConfigError("the embedded engine is not installed: pip install pysail, or set spark.engine: spark")
    port = _start(verbose)
    session = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").create()
    # nothing is tried again: a server on this machine that does not answer is gone, and a paid plan must not run twice
    session.client.set_retry_policies([])
    atexit.register(_stop, session)
    return session


def _start(verbose: bool) -> int:
    environment = os.environ | _SETTINGS | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    log = None if verbose else tempfile.TemporaryFile()
    # a session of its own: Ctrl-C reaches only the process that started it, and that decides what ends
    server = subprocess.Popen(
        [sys.executable, "-m", _MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=environment,
        start_new_session=True,
    )
    told = server.stdout.readline().strip()
    if not told:
        server.wait()
        if log is not None:
            log.seek(0)
        raise PersonahubError(f"the embedded engine did not start:\n{log.read().decode(errors='replace') if log else ''}")
    atexit.register(server.stdin.close)  # keeps it open until then
    return int(told)


def _stop(session: SparkSession) -> None:
    try:
        session.stop()
    except Exception:  # it ends in any case
        pass
