"""What a job used: CPU and memory of all its processes, and what it shuffled, by Spark's own event log."""

import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from common import cpu_seconds

EVENT_LOG = {"spark.eventLog.enabled": "true", "spark.eventLog.rolling.enabled": "false", "spark.eventLog.compress": "false"}


@dataclass(frozen=True)
class Use:
    """Seconds and bytes. The three kinds of memory are each at their own peak."""

    cpu: float  # user and system, of every process of the job
    wall: float
    jvm: int  # resident: Spark's driver, and its executor in local mode
    driver: int  # resident: the Python process that was started
    workers: int  # resident: Spark's Python workers together; pages that a fork shares count in each
    shares: dict[str, float]  # the CPU seconds of each of the three, as last seen: a little less than `cpu` in all


def measured(arguments: list[str], log: Path) -> Use:
    """Run a command, its output to `log`. Raises RuntimeError with the log's last lines."""
    began = time.perf_counter()
    with log.open("wb") as output, _Memory() as memory:
        try:
            cpu = cpu_seconds(arguments, output)
        except subprocess.CalledProcessError as error:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise RuntimeError(f"exit {error.returncode}: {' '.join(arguments)}\n{tail}") from None
    shares = dict.fromkeys(memory.peak, 0.0)
    for kind, seconds in memory.cpu.values():
        shares[kind] += seconds
    return Use(cpu, time.perf_counter() - began, *memory.peak.values(), shares)


def shuffled(folder: Path) -> int:
    """Bytes that the tasks of the event logs in `folder` wrote for shuffles."""
    total = 0
    for file in folder.iterdir():
        for line in file.read_text().splitlines():
            if line.startswith('{"Event":"SparkListenerTaskEnd"'):
                metrics = json.loads(line).get("Task Metrics") or {}
                total += metrics.get("Shuffle Write Metrics", {}).get("Shuffle Bytes Written", 0)
    return total


def stored(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


class _Memory:
    """Looks five times a second at the memory and the CPU of all that this process has started; Linux."""

    def __init__(self) -> None:
        self.peak = {"jvm": 0, "driver": 0, "workers": 0}  # bytes
        self.cpu: dict[int, tuple[str, float]] = {}  # by process: kind, seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.2):
            now = dict.fromkeys(self.peak, 0)
            for pid, kind, size, seconds in _descendants():
                now[kind] += size
                self.cpu[pid] = kind, seconds
            self.peak = {kind: max(size, now[kind]) for kind, size in self.peak.items()}


def _descendants() -> list[tuple[int, str, int, float]]:
    """Process, kind, resident bytes, CPU seconds."""
    parents, seen = {}, {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            arguments = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it has ended meanwhile
            continue
        pid, ticks = int(folder.name), int(stat[11]) + int(stat[12])
        parents[pid] = int(stat[1])
        seen[pid] = pid, _kind(arguments), int(stat[21]) * os.sysconf("SC_PAGE_SIZE"), ticks / os.sysconf("SC_CLK_TCK")
    mine = {os.getpid()}
    while found := {pid for pid, parent in parents.items() if parent in mine and pid not in mine}:
        mine |= found
    return [seen[pid] for pid in mine if parents.get(pid) in mine]


def _kind(arguments: list[str]) -> str:
    if Path(arguments[0]).name == "java":
        return "jvm"
    return "workers" if any(part.startswith("pyspark.") for part in arguments) else "driver"
