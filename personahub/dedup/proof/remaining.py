"""What a deduplication has left among the kept: pairs within the threshold, searched by a road of their own.

Sets of words meet under the rarest of their words, as counted over all of them, whatever method was used (`kernels.rarest`). Some
removed rows are put back among the kept: a search that does not find those proves nothing. Vectors that are drawn are compared with all.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub.config import LexicalDedup
from personahub.dedup.kernels import minhash, sets
from personahub.dedup.kernels.rarest import rarest_keys
from personahub.dedup.proof.meeting import keyed, keys_schema, pairs

Materialise = Callable[[DataFrame, str], DataFrame]

FREQUENT = 20_000  # words that are put in order of their frequency; the others come before them
PUT_BACK = 1_000  # removed rows among those searched
DRAWN = 512  # vectors that are compared with all others
SEMANTIC_MISSES = 0.01  # share of drawn vectors with a neighbour that may be kept beside it
_KEPT, _BACK = 1, 2  # levels


@dataclass(frozen=True)
class Remaining:
    """searched: rows that the lexical methods kept; identical, pairs: how many of these are below another one, by set or by similarity.

    put_back, found_again: different sets of removed rows that were put back among them; removed: all rows that the lexical method removed.
    """

    searched: int
    identical: int
    pairs: int
    put_back: int
    found_again: int
    removed: int


@dataclass(frozen=True)
class Neighbours:
    """Of the rows drawn: those with a neighbour within the cosine, those kept beside a kept neighbour, and how many of these may be."""

    drawn: int
    with_neighbours: int
    missed: int
    allowed: int


def lexical_pairs(
    rows: DataFrame, duplicates: DataFrame, rejects: DataFrame, config: LexicalDedup, materialise: Materialise
) -> Remaining:
    """Rows (id, text), duplicates (id, method), rejects (id) -> the pairs of rows kept by the lexical methods that reach the threshold."""
    gone = duplicates.where(F.col("method") != "semantic").select("id").unionByName(rejects.select("id"))
    removed = duplicates.where(F.col("method") == config.method).select("id")
    back = removed.orderBy(F.xxhash64("id"), "id").limit(PUT_BACK)
    texts = rows.select("id", "text")
    kept = texts.join(gone, on="id", how="left_anti").select("id", F.lit(_KEPT).alias("level"), "text")
    again = texts.join(back, on="id", how="left_semi").select("id", F.lit(_BACK).alias("level"), "text")
    searched = materialise(kept.unionByName(again), "audit.searched")
    frequent = _frequent(searched, config)
    keys = searched.mapInArrow(partial(_keys, config, frequent), keys_schema(rows))
    found = pairs(keys, config.threshold, most=1)
    mine = F.col("low_level") == _KEPT
    sums = found.agg(
        F.countDistinct(F.when(mine, F.col("low"))).alias("pairs"),
        F.countDistinct(F.when(~mine & (F.col("high_level") == _KEPT), F.col("low"))).alias("found_again"),
    ).collect()[0]
    hashes = searched.select("level", "text").mapInArrow(partial(_whole, config), "level int, a long, b long")
    sizes = hashes.groupBy("level", "a", "b").agg(F.count("*").alias("size"))
    of_kept = F.col("level") == _KEPT
    whole = sizes.agg(
        F.coalesce(F.sum(F.when(of_kept, F.col("size"))), F.lit(0)).alias("rows"),
        F.count(F.when(of_kept, 1)).alias("sets"),
        F.count(F.when(~of_kept, 1)).alias("put_back"),  # of equal sets only the first is compared
    ).collect()[0]
    return Remaining(whole.rows, whole.rows - whole.sets, sums.pairs, whole.put_back, sums.found_again, removed.count())


def allowed_misses(removed: int, config: LexicalDedup) -> int:
    """exact: none. minhash: what the bands may miss of as many pairs at the threshold as rows were removed, four sigma and two more."""
    if config.method == "exact":
        return 0
    bands, rows = minhash.choose_bands(config.threshold, config.num_perm, config.min_recall)
    expected = removed * (1 - minhash.recall(config.threshold, bands, rows))
    return math.ceil(expected + 4 * math.sqrt(expected)) + 2


# -- words ---------------------------------------------------------------------------------------------------------------------------


def _frequent(rows: DataFrame, config: LexicalDedup) -> np.ndarray:
    """uint64: the words that most rows have, the rarest of them first."""
    counts = rows.select("text").mapInArrow(partial(_counted, config), "token long, rows long")
    most = counts.groupBy("token").agg(F.sum("rows").alias("rows")).orderBy(F.col("rows").desc(), "token").limit(FREQUENT)
    return np.array([row.token for row in most.collect()][::-1], np.int64).view(np.uint64)


def _counted(config: LexicalDedup, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        tokens, _ = sets.token_sets(batch["text"], config.unit, config.ngram)
        token, count = np.unique(tokens.values, return_counts=True)
        yield pa.RecordBatch.from_pydict({"token": token.view(np.int64), "rows": count})


def _keys(config: LexicalDedup, frequent: np.ndarray, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        tokens, _ = sets.token_sets(batch["text"], config.unit, config.ngram)
        yield keyed(batch, *rarest_keys(tokens, config.threshold, frequent), tokens)


def _whole(config: LexicalDedup, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Two hashes of each whole set."""
    for batch in batches:
        hashes = sets.set_keys(sets.token_sets(batch["text"], config.unit, config.ngram)[0]).view(np.int64)
        yield pa.RecordBatch.from_pydict({"level": batch["level"], "a": hashes[:, 0], "b": hashes[:, 1]})


# -- vectors -------------------------------------------------------------------------------------------------------------------------


def cosine_neighbours(
    rows: DataFrame, duplicates: DataFrame, rejects: DataFrame, threshold: float, most: int = DRAWN
) -> Neighbours:
    """Rows (id, vector), of which up to `most` are drawn -> how many of these were kept beside a kept row that reaches the cosine."""
    compared = rows.select("id", "vector").join(rejects.select("id"), on="id", how="left_anti")
    out = duplicates.select("id", F.lit(False).alias("kept"))
    compared = compared.join(out, on="id", how="left").select("id", "vector", F.coalesce("kept", F.lit(True)).alias("kept"))
    drawn = compared.orderBy(F.xxhash64("id"), "id").limit(most).collect()
    if not drawn:
        return Neighbours(0, 0, 0, 0)
    vectors = _unit(np.array([row.vector for row in drawn]))
    places = {row.id: place for place, row in enumerate(drawn)}
    # a neighbour that reaches the threshold only by rounding is none
    task = partial(_neighbours, vectors, places, threshold + 1e-9)
    near = compared.mapInArrow(task, "drawn int, any long, kept long").groupBy("drawn")
    found = near.agg(F.sum("any").alias("any"), F.sum("kept").alias("kept")).collect()
    missed = sum(1 for row in found if row.kept and drawn[row.drawn].kept)
    return Neighbours(len(drawn), len(found), missed, math.ceil(SEMANTIC_MISSES * len(found)))


def _neighbours(
    vectors: np.ndarray, places: dict[Any, int], threshold: float, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """For each drawn row that has neighbours in a batch, how many, and how many of them were kept."""
    for batch in batches:
        if not batch.num_rows:
            continue
        others = _unit(batch["vector"].flatten().to_numpy(zero_copy_only=False).reshape(batch.num_rows, -1))
        near = vectors @ others.T >= threshold
        for column, name in enumerate(batch["id"].to_pylist()):
            if name in places:
                near[places[name], column] = False  # itself
        drawn = np.flatnonzero(near.any(axis=1))
        kept = near[drawn] & batch["kept"].to_numpy(zero_copy_only=False)
        columns = {"drawn": pa.array(drawn, pa.int32()), "any": near[drawn].sum(axis=1), "kept": kept.sum(axis=1)}
        yield pa.RecordBatch.from_pydict(columns)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """float64 rows of length 1."""
    wide = vectors.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)
