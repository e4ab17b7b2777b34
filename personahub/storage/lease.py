"""One spender per root: a lease in a file, renewed while the run lives."""

import json
import logging
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from personahub.errors import ConfigError, RootInUse
from personahub.storage.files import create_once

log = logging.getLogger(__name__)

NAME = "_lease.json"
EXPIRY_SECONDS = 60.0
BEAT_SECONDS = 15.0


class Lease:
    """Hold with `with`. Whoever spends must stop when `lost` says why.

    Raises RootInUse where another run holds it: one whose heartbeat is younger than a minute, or changes while it is watched for half a
    minute. A run of the same host holds it as long as its process is there: a kill frees the root at once. ConfigError where the folder
    cannot be written.
    """

    def __init__(self, folder: str | Path, run_id: str) -> None:
        self._path = Path(folder) / NAME
        self._fresh = self._path.with_name(f"{NAME}.{run_id}")
        self._run_id = run_id
        self._end = threading.Event()
        self._taken = False
        self._renewed = time.monotonic()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)

    def __enter__(self) -> "Lease":
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            for _ in range(5):  # a lease may be given back or taken over between two looks
                self._renewed = time.monotonic()
                if create_once(self._path, json.dumps(self._holder())):
                    self._thread.start()
                    return self
                holder = _read(self._path)
                if holder is not None and _alive(self._path, holder):
                    break
                self._put_aside()
            holder = _read(self._path)
        except OSError as error:
            raise ConfigError(
                f"cannot write into {self._path.parent}: {error.strerror}; name a folder that can be written (root, or "
                "inference.journal_path where the tables lie elsewhere)"
            ) from None
        raise RootInUse(_describe(self._path, holder))

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(timeout=5)
        with suppress(OSError):  # else it expires
            self._fresh.unlink(missing_ok=True)
            if self._is_ours():
                self._path.unlink(missing_ok=True)

    @property
    def lost(self) -> str | None:
        """Why the lease holds no more, or None: another run took it over, or may since this one could not renew it for a minute."""
        if self._taken:
            return "another run has taken over this root"
        if time.monotonic() - self._renewed >= EXPIRY_SECONDS:
            return f"{self._path} could not be renewed for {EXPIRY_SECONDS:.0f} s, and another run may take over this root"
        return None

    def _put_aside(self) -> None:
        """Of several that find the same dead lease, one succeeds in moving it."""
        aside = self._path.with_name(f"{NAME}.{uuid.uuid4().hex}")
        try:
            os.rename(self._path, aside)
            aside.unlink()
        except FileNotFoundError:
            pass

    def _holder(self) -> dict[str, Any]:
        pid = os.getpid()
        return {"run_id": self._run_id, "host": _host(), "pid": pid, "started": _started(pid), "heartbeat": time.time()}

    def _is_ours(self) -> bool:
        return (_read(self._path) or {}).get("run_id") == self._run_id

    def _beat(self) -> None:
        while not self._end.wait(BEAT_SECONDS) and not self._taken:
            began = time.monotonic()
            try:
                self._taken = not self._is_ours()
                if not self._taken:
                    self._fresh.write_text(json.dumps(self._holder()))
                    os.replace(self._fresh, self._path)
                    self._renewed = began
            except OSError as error:  # a full disk, a file server that is away: it may pass before the lease expires
                log.warning("the lease %s was not renewed: %s", self._path, error)


def _read(path: Path) -> dict[str, Any] | None:
    """None: there is no lease. Raises OSError where it cannot be known."""
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return holder if isinstance(holder, dict) else {}
    except FileNotFoundError:
        return None
    except ValueError:
        return {}


def _alive(path: Path, holder: dict[str, Any]) -> bool:
    if holder.get("host") == _host():
        started = _started(int(holder.get("pid", -1)))
        return started is not None and started == holder.get("started")
    if "heartbeat" not in holder:  # no lease of ours, or one that is being written
        return _changes(path, holder, 1.0)
    age = time.time() - float(holder["heartbeat"])
    if -BEAT_SECONDS < age < EXPIRY_SECONDS:
        return True
    return _changes(path, holder, 1.5 * BEAT_SECONDS)  # clocks differ and jump: see whether it beats


def _changes(path: Path, holder: dict[str, Any], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while (now := _read(path)) == holder and time.monotonic() < end:
        time.sleep(min(1.0, BEAT_SECONDS, seconds / 5))
    return now is not None and now != holder


def _started(pid: int) -> str | None:
    """When the process began, so that a number used again is not mistaken for it; None if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        pass
    try:
        os.kill(pid, 0)
        return "unknown"
    except PermissionError:
        return "unknown"
    except (OSError, OverflowError):
        return None


def _host() -> str:
    """The name of what numbers processes: containers of one machine may share its name, and each has a process 1."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()}/{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _describe(path: Path, holder: dict[str, Any] | None) -> str:
    holder = holder or {}
    age = max(0.0, time.time() - float(holder.get("heartbeat", time.time())))
    return (
        f"the root {path.parent} is in use by run {holder.get('run_id', 'unknown')} "
        f"(process {holder.get('pid', '?')} on {str(holder.get('host', '?')).split('/')[0]}, last heard {age:.0f} s ago). "
        f"Wait for it to end, or use another root"
    )
