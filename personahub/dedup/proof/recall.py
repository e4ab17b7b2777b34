"""How many of the pairs within the threshold are compared at all: the pairs of drawn rows with every row."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub.config import LexicalDedup, SemanticDedup
from personahub.dedup.cosine_join import ROWS, levelled
from personahub.dedup.ivf_index import Search, drawn
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


def of_clusters(
    rows: DataFrame, search: Search, config: SemanticDedup, hub: DataFrame | None = None, max_rows: int = DRAWN
) -> Recall:
    """Rows (id, level, vector) and those of the hub (id, vector), searched by `search` -> what the clusters find. Refused vectors count
    for nothing.
    """
    table = _drawn(rows, "vector", config.seed, max_rows)
    fit, problems = vectors.from_arrow(table["vector"].combine_chunks(), search.dimension)
    if not len(fit):
        return Recall(0, 0, 0)
    ids, squared = table["id"].combine_chunks().filter(pa.array(problems == vectors.FIT)), vectors.squared_lengths(fit)
    home, visits = _places(fit, search)

    def compared(batch: pa.RecordBatch) -> tuple[int, int]:
        others, problems = vectors.from_arrow(batch["vector"], search.dimension)
        batch = batch.filter(pa.array(problems == vectors.FIT))
        row, one, _ = vectors.all_pairs(others, fit, squared, config.threshold)
        unlike = pc.not_equal(batch["id"].take(pa.array(row)), ids.take(pa.array(one))).to_numpy(zero_copy_only=False)
        row, one = row[unlike], one[unlike]
        near, at = np.unique(row, return_inverse=True)
        level = batch["level"].to_numpy(zero_copy_only=False)[near]
        other_home, other_visits = _places(others[near], search, level == 0)
        return len(row), int((visits[one, other_home[at]] | other_visits[at, home[one]]).sum())

    return Recall(len(fit), *_summed(levelled(rows, hub), compared))


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


def _places(fit: np.ndarray, search: Search, at_home: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The home of each vector, and bool[n, k]: the clusters that it is compared in."""
    at_home = np.zeros(len(fit), np.bool_) if at_home is None else at_home
    starts, clusters = boundary_probes.visits(
        fit, search.centroids, boundary_probes.distances(search.centroids), search.margin, at_home
    )
    visits = np.zeros((len(fit), len(search.centroids)), np.bool_)
    visits[np.repeat(np.arange(len(fit)), np.diff(starts)), clusters] = True
    return clusters[starts[:-1]], visits
