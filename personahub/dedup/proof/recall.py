"""How many of the pairs within the threshold are compared at all: the pairs of drawn rows with every row."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub.config import LexicalDedup, SemanticDedup
from personahub.dedup.arrow_columns import without
from personahub.dedup.cosine_join import ROWS
from personahub.dedup.ivf_index import IvfIndex, drawn
from personahub.dedup.kernels import boundary_probes, minhash, sets, vectors
from personahub.dedup.kernels.jaccard import close_pairs

DRAWN = 512


@dataclass(frozen=True)
class Recall:
    """rows: how many were drawn; pairs: theirs with any row that reach the threshold; compared: those that share a band or cluster."""

    rows: int
    pairs: int
    compared: int


def of_bands(rows: DataFrame, config: LexicalDedup, max_rows: int = DRAWN) -> Recall:
    """Rows (id, text) -> what the bands of MinHash find of the pairs of different token sets."""
    table = _drawn(rows, "text", config.seed, max_rows)
    tokens = sets.token_sets(table["text"], config.unit, config.ngram)
    bands = minhash.choose_bands(config.threshold, config.num_perm, config.min_recall)
    signatures = minhash.signatures(tokens, config.num_perm, config.seed)

    def compared(batch: pa.RecordBatch) -> tuple[int, int]:
        others = sets.token_sets(batch["text"], config.unit, config.ngram)
        row, one, score = close_pairs(others, tokens, config.threshold)
        row, one = row[score < 1], one[score < 1]  # equal sets are found by a key of their own
        signed = minhash.signatures(sets.take(others, row), config.num_perm, config.seed)
        return len(row), int(minhash.collides(signed, signatures[one], *bands).sum())

    return Recall(len(table), *_summed(rows.select("text"), compared))


def of_clusters(rows: DataFrame, index: IvfIndex, config: SemanticDedup, max_rows: int = DRAWN) -> Recall:
    """Rows (id, vector) -> what the clusters of `index` find. Refused vectors count for nothing."""
    table = _drawn(rows, "vector", config.seed, max_rows)
    fit, problems = vectors.from_arrow(table["vector"].combine_chunks(), index.dimension)
    if not len(fit):
        return Recall(0, 0, 0)
    ids, squared = table["id"].combine_chunks().filter(pa.array(problems == vectors.FIT)), vectors.squared_lengths(fit)
    home, visits = _places(fit, index)

    def compared(batch: pa.RecordBatch) -> tuple[int, int]:
        others, problems = vectors.from_arrow(batch["vector"], index.dimension)
        row, one, _ = vectors.all_pairs(others, fit, squared, config.threshold)
        row, one = without(batch["id"].filter(pa.array(problems == vectors.FIT)), ids, row, one)
        near, at = np.unique(row, return_inverse=True)
        other_home, other_visits = _places(others[near], index)
        return len(row), int((visits[one, other_home[at]] | other_visits[at, home[one]]).sum())

    return Recall(len(fit), *_summed(rows.select("id", "vector"), compared))


def _drawn(rows: DataFrame, column: str, seed: int, max_rows: int) -> pa.Table:
    return drawn(rows, column, min(1.0, max_rows / max(1, rows.count())), seed + 1)


def _summed(rows: DataFrame, compared: Callable[[pa.RecordBatch], tuple[int, int]]) -> tuple[int, int]:
    """Pairs, and how many of them are compared, over all batches."""

    def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for start in range(0, batch.num_rows, ROWS):
                yield pa.RecordBatch.from_pydict(
                    {name: [n] for name, n in zip(names, compared(batch.slice(start, ROWS)), strict=True)}
                )

    names = ("pairs", "compared")
    sums = rows.mapInArrow(task, "pairs long, compared long").agg(*(F.coalesce(F.sum(name), F.lit(0)) for name in names))
    return tuple(sums.collect()[0])


def _places(fit: np.ndarray, index: IvfIndex) -> tuple[np.ndarray, np.ndarray]:
    """The home of each vector, and bool[n, k]: the clusters that it is compared in."""
    starts, clusters = boundary_probes.visits(fit, index.centroids, boundary_probes.distances(index.centroids), index.margin)
    visits = np.zeros((len(fit), len(index.centroids)), np.bool_)
    visits[np.repeat(np.arange(len(fit)), np.diff(starts)), clusters] = True
    return clusters[starts[:-1]], visits
