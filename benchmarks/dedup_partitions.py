"""The same verdicts from few and many partitions, the rows in another order each time: exact, minhash and semantic.

    python benchmarks/dedup_partitions.py [--rows 100000] [--methods exact,minhash,semantic] [--partitions 1,7,64] [--seed 1]

Generated personas, and vectors. A verdict is a row of `duplicates`, its score compared to the last bit. Exits 1 if one
differs, and shows how many do.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import corpus
import embeddings
import numpy as np
import pyarrow.parquet as pq
from common import machine, two_cores

DIMENSION = 384


def main() -> None:
    from personahub import engines
    from personahub.config import load

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--methods", default="exact,minhash,semantic")
    parser.add_argument("--partitions", default="1,7,64")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(
        f"{given.rows:,} rows, seed {given.seed}; {machine()}\n{'':10} {'partitions':>10} {'removed':>8} {'rounds':>6} {'differ':>7}"
    )
    spark = engines.open_session(load(overrides=two_cores()))
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for method in given.methods.split(","):
            wrong += _differing(
                spark, method, Path(folder), [int(count) for count in given.partitions.split(",")], given.rows, given.seed
            )
    spark.stop()
    sys.exit(1 if wrong else 0)


def _differing(spark: Any, method: str, folder: Path, counts: list[int], rows: int, seed: int) -> int:
    """A line of the table for each number of partitions; returns how many verdicts are not those of the first."""
    if method == "semantic":
        table = pq.read_table(embeddings.write(folder / "made.parquet", rows, DIMENSION, seed))
    else:
        table = corpus.generate(rows, seed).rename_columns(["id", "text"])
    first, wrong = set(), 0
    for partitions in counts:
        source = folder / f"{method}-{partitions}.parquet"
        order = np.random.default_rng(partitions).permutation(rows)
        pq.write_table(table.take(order), source, row_group_size=max(1_000, rows // 64))
        verdicts = _verdicts(spark, method, source, folder / "scratch", partitions)
        first = first or verdicts
        differ = len(verdicts ^ first)
        wrong += differ
        rounds = max(verdict[-1] for verdict in verdicts)
        print(f"{method:10} {partitions:10} {len(verdicts):8,} {rounds:6} {differ:7,}", flush=True)
    return wrong


def _verdicts(spark: Any, method: str, source: Path, folder: Path, partitions: int) -> set[tuple[Any, ...]]:
    from pyspark.sql import functions as F

    from personahub.config import Config, LexicalDedup, SemanticDedup
    from personahub.dedup import by_vectors, by_words
    from personahub.storage.delta import Store

    shutil.rmtree(folder, ignore_errors=True)
    materialise = Store(spark, Config(root=str(folder))).materialise
    rows = spark.read.parquet(str(source)).withColumn("level", F.lit(1)).repartition(partitions)
    if method == "semantic":
        duplicates, _ = by_vectors(rows, SemanticDedup(enabled=True), materialise)
    else:
        duplicates, _ = by_words(rows, LexicalDedup(method=method), materialise)
    return {tuple(row) for row in duplicates.collect()}


if __name__ == "__main__":
    main()
