"""Lexical deduplication of generated personas: cost, recall, what was removed without cause, growth, memory.

    python benchmarks/dedup.py [--rows 1000000] [--methods exact,minhash] [--seed 1] [--base 1000] [--repeats 3]

The real command, Spark on two cores with a driver of 2 GB or the embedded engine, at --rows and a tenth of it. CPU of every process of the
job, a run of --base rows subtracted (0: none).

    us        core-microseconds a persona
    recall    true pairs that a key brings together, all of which are compared
    precis.   of the pairs in `duplicates`, those that are true with their true score
    growth    the cost of ten times the rows over ten times the cost, in one session, so that the engine's start is in neither
    no kept   rows that were removed and have no kept row within the threshold
    missed    pairs at or above the threshold both of whose rows are kept
    GiB       resident at most: JVM or embedded engine / Python driver / Spark's Python workers together

Beside them: what MinHash bands that nothing verifies would remove, joined into connected components (5 bands of 25 rows, 16 of 8). Exits 1
if a target is missed, and names it; those of cost are meant at 1,000,000 rows, those of recall from 20,000 on.
"""

import argparse
import math
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import corpus
import dedup_truth
import numpy as np
from common import machine
from dedup_jobs import BASE, Jobs, Run
from dedup_truth import Standing

from personahub.config import LexicalDedup
from personahub.dedup.kernels import minhash

AT = 1_000_000  # rows that the targets of cost and memory are meant at
THRESHOLD = 0.9
COST = {"exact": 16.0, "minhash": 38.0}
RECALL = {"exact": 1.0, "minhash": 0.9998}
GROWTH, WORKERS = 1.15, 2.0
_HEAD = (
    f"{'':16} {'rows':>9} {'us':>8} {'growth':>6} {'r[.9,.95)':>9} {'recall':>7} "
    f"{'precis.':>7} {'removed':>8} {'no kept':>8} {'missed':>7} GiB"
)


@dataclass(frozen=True)
class Ours:
    """One of our methods, as it stands at the greatest size."""

    method: str
    runs: list[Run]
    growth: float
    standing: Standing
    unmet: int  # true pairs that the method's keys do not bring together
    whole: bool  # every row is kept or a duplicate, once
    differences: int  # rows whose keeper is not that of the reference (exact)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=AT)
    parser.add_argument("--methods", default=",".join(COST))
    parser.add_argument("--base", type=int, default=BASE, help="rows of the run that is subtracted; 0: none is")
    parser.add_argument(
        "--repeats", type=int, default=3, help="runs of ours at all sizes but the greatest; the middle one counts"
    )
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.rows < 20 * given.base:
        parser.error(f"--rows are {20 * given.base} at least: a run of {given.base} rows is subtracted (--base)")
    print(f"{given.rows:,} personas, threshold {THRESHOLD}, seed {given.seed}; {machine()}")
    with tempfile.TemporaryDirectory() as folder:
        jobs = Jobs(Path(folder), given.seed, THRESHOLD, given.base, given.repeats)
        print(_HEAD, flush=True)
        ours = _ours(jobs, given.rows, given.methods.split(","))
    missed = [text for text, holds in _targets(ours, given.rows) if not holds]
    for text in missed:
        print(f"MISSED: {text}")
    sys.exit(1 if missed else 0)


def _ours(jobs: Jobs, rows: int, methods: list[str]) -> list[Ours]:
    ids, sets = dedup_truth.read(jobs.corpus(rows))
    true = dedup_truth.truth(sets, THRESHOLD)
    dedup_truth.cross_check(
        corpus.generate(min(rows, 3_000), jobs.seed + 1)["persona"].to_pylist(), sets, true, THRESHOLD, jobs.seed
    )
    expected = dedup_truth.reference(true)
    lines = []
    sizes = [rows // 10, rows] if jobs.base else [rows]
    for method in methods:
        runs, grown = jobs.ours(method, sizes), jobs.growth(method, sizes)
        answer = dedup_truth.answer(runs[-1].out, ids, true)
        met = dedup_truth.met(sets, true, LexicalDedup(method=method, threshold=THRESHOLD))
        standing = dedup_truth.standing(true, answer.removed, met, answer.precision)
        lines.append(
            Ours(method, runs, grown, standing, int((~met).sum()), answer.whole, int((answer.duplicate_of != expected).sum()))
        )
        _show(f"ours, {method}", runs, standing, grown)
        seconds = ", ".join(f"{kind} {share:.0f}" for kind, share in runs[-1].use.shares.items())
        print(
            f"{'':26} {runs[-1].use.wall:.0f} s, CPU {runs[-1].use.cpu:.0f} s ({seconds}); of {jobs.base:,} rows {runs[-1].base:.0f} s"
        )
    words = "/".join(f"{size:.0f}" for size in np.percentile(sets.sizes, (5, 50, 95)))
    print(f"{'truth':16} {rows:9,} {len(true.low):,} pairs, words p5/p50/p95 {words}; {int((expected >= 0).sum()):,} to remove")
    print(f"{'':26} other keepers than it: " + ", ".join(f"{each.method} {each.differences:,}" for each in lines))
    signatures = minhash.signatures(sets, 128, LexicalDedup().seed)
    for bands in ((5, 25), (16, 8)):
        removed = dedup_truth.unverified(sets, signatures, *bands)
        standing = dedup_truth.standing(true, removed, np.zeros(len(true.low), bool), math.nan)
        print(
            f"{'':26} unverified {bands[0]}x{bands[1]} and components: {standing.removed:,} removed, {standing.unjustified:,} with no "
            f"kept row within {THRESHOLD}, {standing.remaining:,} pairs missed",
            flush=True,
        )
    return lines


def _show(name: str, runs: list[Run], standing: Standing, grown: float) -> None:
    """The earlier sizes with their cost alone."""
    for run in runs[:-1]:
        print(f"{name:16} {run.rows:9,} {run.micros:8.1f}")
    run = runs[-1]
    memory = " / ".join(f"{size / 1024**3:.1f}" for size in (run.use.engine, run.use.driver, run.use.workers))
    print(
        f"{name:16} {run.rows:9,} {run.micros:8.1f} {grown:6.2f} {standing.near:9.5f} {standing.recall:7.5f} "
        f"{standing.precision:7.4f} {standing.removed:8,} {standing.unjustified:8,} {standing.remaining:7,} {memory}",
        flush=True,
    )


def _targets(ours: list[Ours], rows: int) -> Iterator[tuple[str, bool]]:
    """As sentences, and whether each holds."""
    for each in ours:
        name, run, stands = each.method, each.runs[-1], each.standing
        if rows >= AT:
            yield f"{name}: {run.micros:.1f} core-us a persona, not <= {COST[name]:.0f}", run.micros <= COST[name]
            yield f"{name}: cost grows by {each.growth:.2f} per tenfold, not <= {GROWTH}", each.growth <= GROWTH
        workers = run.use.workers / 1024**3
        yield f"{name}: the workers hold {workers:.1f} GiB, not <= {WORKERS}", workers <= WORKERS
        if rows >= 20 * BASE:
            yield f"{name}: recall in [0.9, 0.95) is {stands.near:.5f}, not >= {RECALL[name]}", stands.near >= RECALL[name]
        yield f"{name}: precision is {stands.precision:.6f}, not 1", stands.precision == 1
        yield f"{name}: {stands.unjustified:,} removed with no kept row within {THRESHOLD}", stands.unjustified == 0
        yield (
            f"{name}: {stands.remaining:,} kept pairs at {THRESHOLD}, of {each.unmet:,} not brought together",
            stands.remaining <= each.unmet,
        )
        yield f"{name}: a row is neither kept nor a duplicate, or both", each.whole
        yield (
            f"{name}: {each.differences:,} rows have another keeper than by the reference",
            name != "exact" or each.differences == 0,
        )


if __name__ == "__main__":
    main()
