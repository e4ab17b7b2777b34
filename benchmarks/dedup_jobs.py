"""The jobs that benchmarks/dedup.py runs: ours and the peers', on generated corpora by size, each a process of its own.

    python benchmarks/dedup_jobs.py METHOD OUT INPUT ...

Ours on each input in turn, in one session; their CPU seconds go to OUT.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import corpus
from common import command
from dedup_peers import NEEDS
from measure import EVENT_LOG, Use, measured, shuffled, stored

BASE = 1_000  # rows of the run that is subtracted
SPARK = {"spark.driver.memory": "2g", **EVENT_LOG}


@dataclass(frozen=True)
class Run:
    """A job at one size; `base`: the CPU seconds of the same job on BASE rows. Bytes where Spark's log tells them."""

    rows: int
    use: Use
    out: Path
    shuffled: int = 0
    stored: int = 0
    base: float = 0.0

    @property
    def seconds(self) -> float:
        return self.use.cpu - self.base

    @property
    def micros(self) -> float:
        return self.seconds / (self.rows - BASE) * 1e6


def growth(runs: list[Run]) -> float:
    """The cost of ten times the rows over ten times the cost, from the first and the last run; 1 is linear, NaN: too few rows to tell."""
    first, last = runs[0], runs[-1]
    if first is last or first.rows < 5 * BASE:
        return math.nan
    return _tenfold(first.seconds, last.seconds, last.rows / first.rows)


def _tenfold(first: float, last: float, times: float) -> float:
    return 10 ** (math.log(last / first) / math.log(times) - 1) if min(first, last) > 0 else math.nan


class Jobs:
    """Runs jobs in one folder; corpora are made once."""

    def __init__(self, folder: Path, seed: int, threshold: float) -> None:
        self.folder, self.seed, self.threshold = folder, seed, threshold

    def corpus(self, rows: int) -> Path:
        path = self.folder / f"personas-{rows}.parquet"
        return path if path.exists() else corpus.write(path, rows, self.seed)

    def ours(self, method: str, sizes: list[int]) -> list[Run]:
        """`personahub dedup` with Spark on two cores and a driver of 2 GB; RuntimeError if it fails.

        What is not the greatest size is small against the cost of starting Spark: the middle one of three runs is taken.
        """
        self._ours(method, BASE)  # the kernels are compiled here, and found on disk from now on
        base = self._middle(method, BASE).use.cpu
        return [replace(self._middle(method, rows), base=base) for rows in sizes[:-1]] + [
            replace(self._ours(method, sizes[-1]), base=base)
        ]

    def growth(self, method: str, sizes: list[int]) -> float:
        """The same in one session that has compiled its code: of a whole run on few rows, what Spark's start costs hides what they cost.

        The least of the later runs on BASE rows is subtracted from the least of three at the first size, and from the one at the last.
        """
        out = self.folder / f"{method}-warm.json"
        counts = [BASE] * 4 + [sizes[0]] * 3 + [sizes[-1]]
        measured(
            [sys.executable, __file__, method, str(out), *(str(self.corpus(rows)) for rows in counts)], out.with_suffix(".log")
        )
        seconds = json.loads(out.read_text())
        base = min(seconds[1:4])
        return _tenfold(min(seconds[4:7]) - base, seconds[7] - base, sizes[-1] / sizes[0])

    def peer(self, name: str, sizes: list[int]) -> list[Run] | None:
        """None if the peer is not installed."""
        if name in NEEDS and find_spec(NEEDS[name]) is None:
            return None
        base = self._peer(name, BASE).use.cpu
        return [replace(self._peer(name, rows), base=base) for rows in sizes]

    def _middle(self, method: str, rows: int) -> Run:
        return sorted((self._ours(method, rows) for _ in range(3)), key=lambda run: run.use.cpu)[1]

    def _ours(self, method: str, rows: int) -> Run:
        run = self.folder / f"{method}-{rows}-{time.monotonic_ns()}"
        events = run / "events"
        events.mkdir(parents=True)
        conf = {**SPARK, "spark.eventLog.dir": events.as_uri(), "spark.local.dir": str(run)}
        settings = ["--set", "spark.master=local[2]", "--set", f"spark.conf={json.dumps(conf)}"]
        options = ["--id-column", "id", "--method", method, "--threshold", str(self.threshold)]
        use = measured(command("dedup", self.corpus(rows), "--out", run / "out", *options, *settings), run / "log")
        return Run(rows, use, run / "out", shuffled(events), stored(run / "out"))

    def _peer(self, name: str, rows: int) -> Run:
        out = self.folder / f"{name}-{rows}.npz"
        script = str(Path(__file__).with_name("dedup_peers.py"))
        use = measured([sys.executable, script, name, str(self.corpus(rows)), str(out)], out.with_suffix(".log"))
        return Run(rows, use, out)


def _in_one_session(method: str, sources: list[Path]) -> list[float]:
    """CPU seconds of every process, one figure an input."""
    from embedding_jobs import cpu_of_all

    from personahub import session
    from personahub.config import Config, Dedup, LexicalDedup, load
    from personahub.dedup import deduplicate
    from personahub.store import Store

    spark = session.open_session(load(overrides=["spark.master=local[2]", 'spark.conf={"spark.driver.memory": "2g"}']))
    config, seconds = Dedup(lexical=LexicalDedup(method=method)), []
    for source in sources:
        began = cpu_of_all()
        with tempfile.TemporaryDirectory() as folder:
            materialise = Store(spark, Config(root=folder)).materialise
            rows = spark.read.parquet(str(source)).selectExpr("id", "1 as level", "persona as text")
            for verdicts, name in zip(deduplicate(rows, config, materialise), ("duplicates", "rejects"), strict=True):
                materialise(verdicts, name)
        seconds.append(cpu_of_all() - began)
    spark.stop()
    return seconds


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("method")
    parser.add_argument("out", type=Path)
    parser.add_argument("input", type=Path, nargs="+")
    given = parser.parse_args()
    given.out.write_text(json.dumps(_in_one_session(given.method, given.input)))
