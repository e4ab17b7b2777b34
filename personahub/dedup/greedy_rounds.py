"""Greedy removal over the pairs that were found: on the driver where they are few, else in rounds of joins. Both give the same rows.

FOUND rows: low, low_level, high, high_level (what is removed and what may keep it out, with their levels), score (double), cut (bool:
`low` may have more pairs below this `high`, which were not looked for). Priority is (level, id), ascending.
"""

from collections.abc import Callable
from functools import reduce
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from personahub.dedup.kernels import greedy_mis

FEW = 2_000_000  # pairs that the driver decides on: some 200 MB
MOST = 32  # pairs looked for above each row, the first time, where looking again is costly
_PAIR = ("low", "low_level", "high", "high_level", "score", "cut")

Materialise = Callable[[DataFrame, str], DataFrame]


class Decided(NamedTuple):
    """removed (id, duplicate_of, score, round); pending (id): a cut list must be looked at again; last: the number of rounds so far."""

    removed: DataFrame
    pending: DataFrame | None
    last: int


def resolve(
    found: DataFrame, most: int, again: Callable[[DataFrame, DataFrame, int], DataFrame], materialise: Materialise, name: str
) -> DataFrame:
    """Who is removed, by FOUND rows that were written once, in lists of up to `most` -> id, duplicate_of, score, round (from 1).

    again(removed ids, pending ids, most) -> FOUND among the rows that are not removed, at least all pairs of the pending ones with up
    to `most` rows above each; it is asked until no verdict is open. Each time the rows that filled a list are gone, so it ends.
    """
    parts, last = [], 0
    while True:
        decided = decide(found, last, materialise, f"{name}.{len(parts)}")
        parts.append(decided.removed)
        removed = reduce(DataFrame.unionByName, parts)
        if decided.pending is None:
            return removed
        last, most = decided.last, most * 8
        found = materialise(again(removed.select("id"), decided.pending, most), f"{name}.{len(parts)}.found")


def decide(found: DataFrame, last: int, materialise: Materialise, name: str) -> Decided:
    """One pass over all pairs; `last`: the rounds that went before."""
    pairs, parts = found.select(*_PAIR).withColumn("gone", F.lit(False)), []
    while pairs.count() > FEW:
        last += 1
        removed = materialise(_one_round(pairs, last), f"{name}.removed-{last}")
        if removed.isEmpty():  # nothing but lists that are cut, and those that wait for them
            return Decided(
                reduce(DataFrame.unionByName, [*parts, removed]), pairs.select(F.col("low").alias("id")).distinct(), last
            )
        parts.append(removed)
        pairs = materialise(_what_is_left(pairs, removed), f"{name}.pairs-{last}")
    removed, pending, last = _on_the_driver(pairs, last)
    return Decided(reduce(DataFrame.unionByName, [*parts, removed]), pending, last)


def _one_round(pairs: DataFrame, number: int) -> DataFrame:
    """Those whose first row above, of what is left, is kept: it has nothing above itself that is left."""
    first = pairs.groupBy("low").agg(F.min(F.struct("high_level", "high", "score", "gone")).alias("first"))
    open_ = pairs.select(F.col("low").alias("duplicate_of")).distinct()
    removed = first.where(~F.col("first.gone")).select(
        F.col("low").alias("id"), F.col("first.high").alias("duplicate_of"), "first.score", F.lit(number).alias("round")
    )
    return removed.join(open_, on="duplicate_of", how="left_anti").select("id", "duplicate_of", "score", "round")


def _what_is_left(pairs: DataFrame, removed: DataFrame) -> DataFrame:
    """Without the pairs of rows that are decided. A pair that ends a cut list stays when its `high` goes: what follows is unknown."""
    lows, highs = (
        removed.select(F.col("id").alias("low")),
        removed.select(F.col("id").alias("high"), F.lit(True).alias("now_gone")),
    )
    left = pairs.join(lows, on="low", how="left_anti").join(highs, on="high", how="left")
    left = left.withColumn("gone", F.col("gone") | F.coalesce("now_gone", F.lit(False)))
    return left.where(~F.col("gone") | F.col("cut")).select(*_PAIR, "gone")


def _on_the_driver(pairs: DataFrame, last: int) -> tuple[DataFrame, DataFrame | None, int]:
    table = pairs.toArrow()
    ids, low, high = _by_priority(table)
    cut, gone = _numpy(table["cut"]), np.zeros(len(ids), np.bool_)
    gone[high[_numpy(table["gone"])]] = True
    duplicate_of, state, rounds = greedy_mis.decide(len(ids), low, high, cut, gone)

    score = np.zeros(len(ids))
    by_keeper = duplicate_of[low] == high
    score[low[by_keeper]] = _numpy(table["score"])[by_keeper]
    lost = np.flatnonzero(duplicate_of >= 0)
    columns = [
        ids.take(pa.array(lost)),
        ids.take(pa.array(duplicate_of[lost])),
        pa.array(score[lost]),
        pa.array(rounds[lost] + last),
    ]
    session, kind = pairs.sparkSession, pairs.schema["low"].dataType
    told = T.StructType().add("id", kind).add("duplicate_of", kind).add("score", T.DoubleType()).add("round", T.IntegerType())
    # with a schema: where there are no rows, Connect asks for one
    removed = session.createDataFrame(pa.table(columns, names=told.names), told)
    last += int(rounds[lost].max(initial=0))
    waiting = np.flatnonzero(state == greedy_mis.PENDING)
    if not len(waiting):
        return removed, None, last
    return removed, session.createDataFrame(pa.table([ids.take(pa.array(waiting))], names=["id"])), last


def _by_priority(table: pa.Table) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    """The ids of the pairs in priority order, and the pairs as positions among them."""
    both = pa.chunked_array([*table["low"].chunks, *table["high"].chunks], table.schema.field("low").type).combine_chunks()
    coded = both.dictionary_encode()
    codes = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    levels = np.zeros(len(coded.dictionary), np.int64)
    levels[codes] = np.concatenate([_numpy(table["low_level"]), _numpy(table["high_level"])])
    by_id = pc.sort_indices(coded.dictionary).to_numpy(zero_copy_only=False).astype(np.int64)
    order = by_id[np.argsort(levels[by_id], kind="stable")]
    position = np.empty(len(order), np.int64)
    position[order] = np.arange(len(order))
    placed = position[codes]
    return coded.dictionary.take(pa.array(order)), placed[: table.num_rows], placed[table.num_rows :]


def _numpy(column: pa.ChunkedArray) -> np.ndarray:
    return column.to_numpy()
