"""Deduplication in ten batches, each against what the hub holds by then, beside one run over all rows: cost, and the same invariants.

    python benchmarks/incremental.py [--rows 200000] [--vectors 50000] [--methods exact,minhash,semantic] [--base 1000] [--seed 1]

Both take the road of the hub with Spark on two cores or the embedded engine, and write down what the next batch is
compared with. CPU of every process of the job, the engine's start included. Of ten batches much is what ten times a job costs there,
however few the rows are: `net` is the ratio of the costs with a run of --base rows, in as many batches, subtracted (0: of none, and then
no goal is set to it).

    later     what the last batch costs, over the second one's, in the same session: how the size of the hub is felt
    kept      rows that are kept; the order of the batches is another priority, so the two differ a little

Exits 1 if an invariant is broken (see `personahub.dedup.proof.audit`) or the ratio is more than RATIO, and names it.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # idle threads of BLAS spin, and that would count

import argparse
import itertools
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import corpus
import embeddings
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from common import machine, two_cores
from measure import cpu_of_all, measured

BATCHES, BASE, RATIO, OUTGROWN = 10, 1_000, 1.3, 4
THRESHOLD, DIMENSION = 0.9, 384


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--vectors", type=int, default=50_000)
    parser.add_argument("--methods", default="exact,minhash,semantic")
    parser.add_argument("--base", type=int, default=BASE, help="rows of the run that is subtracted; 0: none is")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--job", nargs=4, metavar=("METHOD", "INPUT", "OUT", "BATCHES"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job:
        method, source, out, batches = given.job
        job(method, Path(source), Path(out), int(batches))
        return
    print(f"{BATCHES} batches, threshold {THRESHOLD}, seed {given.seed}; {machine()}")
    print(
        f"{'':10} {'rows':>9} {'one shot s':>10} {'batches s':>10} {'ratio':>6} {'net s':>6} {'net s':>6} {'net':>6} {'later':>6} kept"
    )
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        for method in given.methods.split(","):
            rows = given.vectors if method == "semantic" else given.rows
            missed += _compare(Path(folder), method, rows, given.base, given.seed)
    for text in missed:
        print(f"MISSED: {text}")
    sys.exit(1 if missed else 0)


def _compare(folder: Path, method: str, rows: int, base: int, seed: int) -> list[str]:
    """One line of the table; returns what is missed."""
    told: dict[tuple[int, int], dict[str, Any]] = {}
    # the first job of all may have to compile the kernels, which the others find on the disk: it is told of by the next of its kind
    jobs = [(base, 1), *itertools.product((base, rows), (1, BATCHES))] if base else [(rows, 1), (rows, BATCHES)]
    for count, batches in jobs:
        source, out = folder / f"{method}-{count}-in", folder / f"{method}-{count}-{batches}"
        if not source.exists():
            _write(source, method, count, seed)
        command = [sys.executable, __file__, "--job", method, str(source), str(out), str(batches)]
        measured(command, out.with_suffix(".log"))
        told[count, batches] = json.loads((out / "told.json").read_text())
    one, ten = told[rows, 1], told[rows, BATCHES]
    net_one, net_ten = (told[rows, many]["cpu"] - (told[base, many]["cpu"] if base else 0.0) for many in (1, BATCHES))
    spent, ratio = ten["seconds"], net_ten / net_one
    print(
        f"{method:10} {rows:9,} {one['cpu']:10.1f} {ten['cpu']:10.1f} {ten['cpu'] / one['cpu']:6.2f} {net_one:6.1f} {net_ten:6.1f} "
        f"{ratio:6.2f} {spent[-1] / spent[1]:6.2f} {one['kept']:,} and {ten['kept']:,}"
    )
    print(f"{'':10} CPU s of each batch: " + ", ".join(f"{seconds:.1f}" for seconds in spent), flush=True)
    broken = [f"{method}, {each}" for each in one["broken"] + ten["broken"]]
    return broken + ([f"{method}: ten batches cost {ratio:.2f} times one shot, not <= {RATIO}"] if base and ratio > RATIO else [])


def _write(folder: Path, method: str, rows: int, seed: int) -> None:
    """The rows in ten files, id and text or vector."""
    if method == "semantic":
        made = pq.read_table(embeddings.write(folder.with_suffix(".parquet"), rows, DIMENSION, seed), columns=["id", "vector"])
    else:
        made = corpus.generate(rows, seed).rename_columns(["id", "text"])
    folder.mkdir()
    for batch, at in enumerate(np.array_split(np.arange(rows), BATCHES)):
        part = made.slice(at[0], len(at)).append_column("batch", pa.array(np.full(len(at), batch + 1, np.int32)))
        pq.write_table(part, folder / f"{batch}.parquet", row_group_size=5_000)


def job(method: str, source: Path, out: Path, batches: int) -> None:
    """All rows in so many batches; what became of them, and what it cost, goes to `out`."""
    from personahub import engines
    from personahub.config import Dedup, LexicalDedup, SemanticDedup, load

    shutil.rmtree(out, ignore_errors=True)
    spark = engines.open_session(load(overrides=two_cores()))
    if method == "semantic":
        config = Dedup(semantic=SemanticDedup(enabled=True, threshold=THRESHOLD, seed=1))
    else:
        config = Dedup(lexical=LexicalDedup(method=method, threshold=THRESHOLD))
    hub, seconds = Hub(spark, config, out), []
    for batch, files in enumerate(np.array_split([str(source / f"{number}.parquet") for number in range(BATCHES)], batches)):
        began = cpu_of_all()
        hub.decide(spark.read.parquet(*files.tolist()), batch)
        seconds.append(cpu_of_all() - began)
    cpu = cpu_of_all()  # without the proof that follows
    told = {"cpu": cpu, "seconds": seconds, **hub.judged(spark.read.parquet(str(source)), batches)}
    (out / "told.json").write_text(json.dumps(told))
    spark.stop()


class Hub:
    """Verdicts, and what the next batch is compared with, in parquet files."""

    def __init__(self, spark: Any, config: Any, folder: Path) -> None:
        self.spark, self.config, self.folder = spark, config, folder
        self.centroids, self.trained_on = None, 0
        self.schemas: dict[str, Any] = {}

    def decide(self, rows: Any, batch: int) -> None:
        from pyspark.sql import functions as F

        from personahub.dedup import by_vectors, by_words, jaccard_join

        rows = rows.withColumn("level", F.lit(1)).drop("batch")
        if self.config.semantic.enabled:
            search = self._search(rows, self._standing("vectors", batch))
            packed = self._standing(f"packed-{self.trained_on}", batch)
            answer = by_vectors(rows, self.config.semantic, self._materialise(batch), packed, search)
        else:
            answer = by_words(rows, self.config.lexical, self._materialise(batch), self._standing("stored", batch))
        for name, verdicts in zip(("duplicates", "rejects"), answer, strict=True):
            self.schemas[name] = verdicts.schema
            verdicts.write.mode("append").parquet(str(self.folder / name))
        gone = answer[0].select("id").unionByName(answer[1].select("id"))
        kept = rows.join(gone, on="id", how="left_anti")
        if self.config.semantic.enabled:
            # without a dictionary, as the hub writes what a batch compares (store.materialise)
            written = kept.select("id", "vector").write.mode("append").option("parquet.enable.dictionary", "false")
            written.parquet(str(self.folder / "vectors"))
            self._remember(kept, search)
        else:
            jaccard_join.to_index(kept, self.config.lexical).write.mode("append").parquet(str(self.folder / "stored"))

    def judged(self, rows: Any, batches: int) -> dict[str, Any]:
        """kept: how many rows; broken: the claims of the audit that do not hold. With batches, an earlier one is the higher level."""
        from pyspark.sql import functions as F

        from personahub.dedup.proof.audit import audit

        level = F.col("batch") if batches > 1 else F.lit(1)
        rows = rows.withColumn("level", level).drop("batch")
        duplicates, rejects = self._verdicts("duplicates"), self._verdicts("rejects")
        findings = audit(rows, duplicates, rejects, self.config, self._materialise(batches))
        broken = [f"{batches} batches: {each.claim}: {each.figures}" for each in findings if not each.holds]
        return {"kept": rows.count() - duplicates.count() - rejects.count(), "broken": broken}

    def _verdicts(self, name: str) -> Any:
        """The embedded engine writes no file of no rows."""
        folder, schema = self.folder / name, self.schemas[name]
        return self.spark.read.schema(schema).parquet(str(folder)) if folder.exists() else self.spark.createDataFrame([], schema)

    def _standing(self, name: str, batch: int) -> Any:
        return self.spark.read.parquet(str(self.folder / name)) if batch else None

    def _search(self, rows: Any, standing: Any) -> Any:
        """As the hub has it: clusters serve until there are OUTGROWN times the vectors that they were trained on."""
        from personahub.dedup import ivf_index

        total = rows.count() + (0 if standing is None else standing.count())
        anew = total > OUTGROWN * self.trained_on
        if anew:
            self.centroids, self.trained_on = None, total
        search = ivf_index.prepare(rows, self.config.semantic, standing, self.centroids)
        self.centroids = search.centroids
        if anew and standing is not None:
            self._remember(standing, search)
        return search

    def _remember(self, kept: Any, search: Any) -> None:
        from personahub.dedup import cosine_join

        cosine_join.pack(kept, search).write.mode("append").parquet(str(self.folder / f"packed-{self.trained_on}"))

    def _materialise(self, batch: int) -> Callable[[Any, str], Any]:
        from personahub.config import Config
        from personahub.storage.delta import Store

        return Store(self.spark, Config(root=str(self.folder / f"batch-{batch}"))).materialise


if __name__ == "__main__":
    main()
