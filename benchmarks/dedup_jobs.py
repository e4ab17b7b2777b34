"""The jobs that benchmarks/dedup.py runs, on generated corpora by size, each a process of its own.

    python benchmarks/dedup_jobs.py METHOD OUT INPUT ...

Each input in turn, in one session; their CPU seconds go to OUT.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import corpus
from common import command, two_cores
from measure import Use, cpu_of_all, measured

BASE = 1_000  # rows of the run that is subtracted; 0: none is


@dataclass(frozen=True)
class Run:
    """A job at one size; `base`: the CPU seconds of the same job on `few` rows."""

    rows: int
    use: Use
    out: Path
    base: float = 0.0
    few: int = BASE

    @property
    def seconds(self) -> float:
        return self.use.cpu - self.base

    @property
    def micros(self) -> float:
        return self.seconds / (self.rows - self.few) * 1e6


def _tenfold(first: float, last: float, times: float) -> float:
    return 10 ** (math.log(last / first) / math.log(times) - 1) if min(first, last) > 0 else math.nan


class Jobs:
    """Runs jobs in one folder; corpora are made once."""

    def __init__(self, folder: Path, seed: int, threshold: float, base: int = BASE, repeats: int = 3) -> None:
        self.folder, self.seed, self.threshold, self.base, self.repeats = folder, seed, threshold, base, repeats

    def corpus(self, rows: int) -> Path:
        path = self.folder / f"personas-{rows}.parquet"
        return path if path.exists() else corpus.write(path, rows, self.seed)

    def ours(self, method: str, sizes: list[int]) -> list[Run]:
        """`personahub dedup` with Spark on two cores and a driver of 2 GB, or the embedded engine; RuntimeError if it fails.

        What is not the greatest size is small against the cost of starting the engine: the middle one of three runs is taken.
        """
        base = 0.0
        if self.base:
            self._ours(method, self.base)  # the kernels are compiled here, and found on disk from now on
            base = self._middle(method, self.base).use.cpu
        runs = [*(self._middle(method, rows) for rows in sizes[:-1]), self._ours(method, sizes[-1])]
        return [replace(run, base=base, few=self.base) for run in runs]

    def growth(self, method: str, sizes: list[int]) -> float:
        """The same in one session that has compiled its code: of a whole run on few rows, the engine's start hides what they cost.

        The least of the later runs on BASE rows is subtracted from the least of three at the first size, and from the one at the last. NaN
        where nothing is to be subtracted.
        """
        if not self.base:
            return math.nan
        out = self.folder / f"{method}-warm.json"
        counts = [self.base] * 4 + [sizes[0]] * 3 + [sizes[-1]]
        measured(
            [sys.executable, __file__, method, str(out), *(str(self.corpus(rows)) for rows in counts)], out.with_suffix(".log")
        )
        seconds = json.loads(out.read_text())
        base = min(seconds[1:4])
        return _tenfold(min(seconds[4:7]) - base, seconds[7] - base, sizes[-1] / sizes[0])

    def _middle(self, method: str, rows: int) -> Run:
        return sorted((self._ours(method, rows) for _ in range(self.repeats)), key=lambda run: run.use.cpu)[self.repeats // 2]

    def _ours(self, method: str, rows: int) -> Run:
        run = self.folder / f"{method}-{rows}-{time.monotonic_ns()}"
        run.mkdir()
        overrides = two_cores(**{"spark.local.dir": str(run)})
        settings = [part for override in overrides for part in ("--set", override)]
        options = ["--id-column", "id", "--method", method, "--threshold", str(self.threshold)]
        use = measured(command("dedup", self.corpus(rows), "--out", run / "out", *options, *settings), run / "log")
        return Run(rows, use, run / "out")


def _in_one_session(method: str, sources: list[Path]) -> list[float]:
    """CPU seconds of every process, one figure an input."""
    from personahub import engines
    from personahub.config import Config, LexicalDedup, load
    from personahub.dedup import by_words
    from personahub.storage.delta import Store

    spark = engines.open_session(load(overrides=two_cores()))
    config, seconds = LexicalDedup(method=method), []
    for source in sources:
        began = cpu_of_all()
        with tempfile.TemporaryDirectory() as folder:
            materialise = Store(spark, Config(root=folder)).materialise
            rows = spark.read.parquet(str(source)).selectExpr("id", "1 as level", "persona as text")
            for verdicts, name in zip(by_words(rows, config, materialise), ("duplicates", "rejects"), strict=True):
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
    spent = _in_one_session(given.method, given.input)
    given.out.write_text(json.dumps(spent))
    print(f"{given.method}: CPU s {', '.join(f'{seconds:.2f}' for seconds in spent)}")
