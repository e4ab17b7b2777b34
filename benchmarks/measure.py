"""What a job used: CPU and memory of all its processes. Linux."""

import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

KINDS = ("engine", "driver", "workers")

# The JVM outlives the driver by a moment: whoever adopts it (PR_SET_CHILD_SUBREAPER) and waits for it knows what it has used.
_ADOPT = """
import ctypes, os, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
code = subprocess.call(sys.argv[2:], stdin=subprocess.DEVNULL)
with open(sys.argv[1], "w") as adopted:
    while True:
        try:
            print(os.wait()[0], file=adopted)
        except ChildProcessError:
            sys.exit(code)
"""


@dataclass(frozen=True)
class Use:
    """Seconds and bytes. The three kinds of memory are each at their own peak."""

    cpu: float  # user and system, of every process of the job
    wall: float
    engine: (
        int  # resident: the JVM (Spark's driver, its executor in local mode), or the embedded engine with the functions it runs
    )
    driver: int  # resident: the Python process that was started
    workers: int  # resident: Spark's Python workers together, which the embedded engine has not; pages that a fork shares count in each
    largest: int  # resident: the largest of them
    shares: dict[str, float]  # the CPU seconds of each of the three, as last seen


NOTHING = Use(0.0, 0.0, 0, 0, 0, 0, dict.fromkeys(KINDS, 0.0))


def used(arguments: list[str], output: IO[bytes] | None = None) -> Use:
    """Run a command and wait for all that it starts. Raises CalledProcessError."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.NamedTemporaryFile("r") as adopted, _Watch() as watch:
        command = [sys.executable, "-c", _ADOPT, adopted.name, *arguments]
        subprocess.run(command, check=True, stdout=output, stderr=output and subprocess.STDOUT)
        waited_for = {int(pid) for pid in adopted}
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # Spark's daemon ignores the end of the workers that it forks (SIGCHLD), and then nobody is told what they used
    cpu += sum(watch.seen[pid][1] for pid in watch.forked - waited_for)
    shares = {kind: sum(seconds for other, seconds in watch.seen.values() if other == kind) for kind in KINDS}
    return Use(cpu, time.perf_counter() - began, *watch.peak.values(), watch.largest, shares)


def measured(arguments: list[str], log: Path) -> Use:
    """Run a command, its output to `log`. Raises RuntimeError with the log's last lines."""
    with log.open("wb") as output:
        try:
            return used(arguments, output)
        except subprocess.CalledProcessError as error:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise RuntimeError(f"exit {error.returncode}: {' '.join(arguments)}\n{tail}") from None


def cpu_of_all() -> float:
    """Seconds of this process and of all that it started, those that have ended and were waited for included."""
    parents, spent = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended meanwhile
                continue
            parents[int(folder.name)], spent[int(folder.name)] = int(stat[1]), sum(map(int, stat[11:15]))
    mine, new = set(), {os.getpid()}
    while new:
        mine |= new
        new = {pid for pid, parent in parents.items() if parent in mine} - mine
    return sum(spent[pid] for pid in mine) / os.sysconf("SC_CLK_TCK")


class _Watch:
    """Looks five times a second at all that this process has started."""

    def __init__(self) -> None:
        self.peak = dict.fromkeys(KINDS, 0)  # bytes
        self.largest = 0  # of one worker
        self.seen: dict[int, tuple[str, float]] = {}  # by process: kind, CPU seconds
        self.forked: set[int] = set()  # those that a Spark daemon started
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.2):
            now = dict.fromkeys(KINDS, 0)
            for pid, parent, kind, size, seconds in processes(os.getpid()):
                if kind not in now:
                    continue
                now[kind] += size
                self.largest = max(self.largest, size if kind == "workers" else 0)
                self.seen[pid] = kind, seconds
                if kind == "workers" and self.seen.get(parent, ("", 0))[0] == "workers":
                    self.forked.add(pid)
            self.peak = {kind: max(size, now[kind]) for kind, size in self.peak.items()}


def processes(of: int) -> list[tuple[int, int, str, int, float]]:
    """All that a process has started: process, parent, kind, resident bytes, CPU seconds; parents first. Linux."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            arguments = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it has ended meanwhile
            continue
        if stat[0] != "Z" and arguments[0]:  # one that is ending has no name any more
            size, ticks = int(stat[21]) * os.sysconf("SC_PAGE_SIZE"), int(stat[11]) + int(stat[12])
            found[int(folder.name)] = int(stat[1]), _kind(arguments), size, ticks / os.sysconf("SC_CLK_TCK")
    mine, new = {}, [of]
    while new:
        new = [pid for pid, (parent, *_) in found.items() if parent in new]
        mine.update((pid, found[pid]) for pid in new)
    return [(pid, *rest) for pid, rest in mine.items()]


def _kind(arguments: list[str]) -> str:
    if Path(arguments[0]).name == "java" or any("personahub.engines.server" in part for part in arguments):
        return "engine"
    if any("personahub.mockserver" in part for part in arguments):
        return "server"
    return "workers" if any(part.startswith("pyspark.") for part in arguments) else "driver"
