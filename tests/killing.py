"""Kill -9 of a process with all that it has started. Linux."""

import contextlib
import os
import signal
import time
from pathlib import Path


def kill_when(run, reached):
    """Kill `run`, a Popen, as soon as `reached()`. True if it was killed, False if it ended by itself."""
    try:
        while run.poll() is None:
            if reached():
                return True
            time.sleep(0.02)
        return False
    finally:
        kill([*descendants(run.pid), run.pid])
        run.wait()


def kill(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def descendants(pid):
    """Its processes, their processes and so on, parents first."""
    children = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            children.setdefault(int(path.read_text().rpartition(")")[2].split()[1]), []).append(int(path.parent.name))
    found = list(children.get(pid, []))
    for each in found:
        found += children.get(each, [])
    return found
