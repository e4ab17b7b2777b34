"""How many of the pairs within a cosine are compared at all: some rows are drawn and held against every vector."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub.config import SemanticDedup
from personahub.dedup.kernels import borders, vectors
from personahub.dedup.search import Search, drawn
from personahub.dedup.semantic import ROWS, levelled

DRAWN = 512


@dataclass(frozen=True)
class Recall:
    """rows: how many were drawn; pairs: theirs with any row that reach the threshold; compared: those who meet in a cluster."""

    rows: int
    pairs: int
    compared: int


@dataclass(frozen=True)
class _Drawn:
    ids: pa.Array
    vectors: np.ndarray
    squared: np.ndarray
    home: np.ndarray
    visits: np.ndarray  # bool[n, k]


def recall(rows: DataFrame, search: Search, config: SemanticDedup, hub: DataFrame | None = None, most: int = DRAWN) -> Recall:
    """Rows (id, level, vector) and those of the hub (id, vector), searched by `search` -> what is compared of the pairs that are there.

    About `most` of the rows are drawn by a hash of their ids. Vectors that are refused count for nothing.
    """
    table = drawn(rows, min(1.0, most / max(1, rows.count())), config.seed + 1)
    fit, problems = vectors.from_arrow(table["vector"].combine_chunks(), search.dimension)
    if not len(fit):
        return Recall(0, 0, 0)
    ids = table["id"].combine_chunks().filter(pa.array(problems == vectors.FIT))
    home, visits = _places(fit, search, np.zeros(len(fit), np.bool_))
    task = partial(_compared, _Drawn(ids, fit, vectors.squared_lengths(fit), home, visits), search, config.threshold)
    counts = levelled(rows, hub).mapInArrow(task, "pairs long, compared long")
    sums = counts.agg(*(F.coalesce(F.sum(name), F.lit(0)).alias(name) for name in ("pairs", "compared"))).collect()[0]
    return Recall(len(fit), sums.pairs, sums.compared)


def _compared(drawn: _Drawn, search: Search, threshold: float, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for whole in batches:
        for start in range(0, whole.num_rows, ROWS):
            batch = whole.slice(start, ROWS)
            fit, problems = vectors.from_arrow(batch["vector"], search.dimension)
            batch = batch.filter(pa.array(problems == vectors.FIT))
            row, other, _ = vectors.all_pairs(fit, drawn.vectors, drawn.squared, threshold)
            same = pc.equal(batch["id"].take(pa.array(row)), drawn.ids.take(pa.array(other))).to_numpy(zero_copy_only=False)
            row, other = row[~same], other[~same]
            near, at = np.unique(row, return_inverse=True)
            level = batch["level"].to_numpy(zero_copy_only=False)[near]
            home, visits = _places(fit[near], search, level == 0)
            met = drawn.visits[other, home[at]] | visits[at, drawn.home[other]]
            yield pa.RecordBatch.from_pydict({"pairs": [len(row)], "compared": [int(met.sum())]})


def _places(fit: np.ndarray, search: Search, at_home: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The home of each vector, and bool[n, k]: the clusters that it is compared in."""
    starts, clusters = borders.visits(fit, search.centroids, borders.distances(search.centroids), search.margin, at_home)
    visits = np.zeros((len(fit), len(search.centroids)), np.bool_)
    visits[np.repeat(np.arange(len(fit)), np.diff(starts)), clusters] = True
    return clusters[starts[:-1]], visits
