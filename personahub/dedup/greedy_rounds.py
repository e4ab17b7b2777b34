"""Greedy removal over PAIRS (see pair_rows): on the driver where they are few, else in rounds of joins. Both give the same rows.

A row is removed only if a kept row that comes before it by (level, id) is within the threshold.
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

DRIVER_PAIRS = 2_000_000  # that the driver decides on: some 200 MB
MAX_PAIRS = 32  # of each row, in the first search, where a search is costly
_PAIR = ("row", "row_level", "earlier", "earlier_level", "score", "truncated")

Materialise = Callable[[DataFrame, str], DataFrame]


class Decided(NamedTuple):
    """removed (id, duplicate_of, score, round); pending (id): rows whose truncated list must be searched again; last: rounds so far."""

    removed: DataFrame
    pending: DataFrame | None
    last: int


def resolve(
    pairs: DataFrame,
    max_pairs: int,
    search: Callable[[DataFrame, DataFrame, int], DataFrame],
    materialise: Materialise,
    name: str,
) -> DataFrame:
    """PAIRS that were written once, up to `max_pairs` of a row -> the removed rows: id, duplicate_of, score, round (from 1).

    search(removed ids, pending ids, max_pairs) -> PAIRS of the rows that are not removed: at least all pairs of the pending rows, up to
    `max_pairs` each. It is called until no row is pending. Each time the rows that filled a list are removed, so it ends.
    """
    parts: list[DataFrame] = []
    last = 0
    while True:
        decided = decide(pairs, last, materialise, f"{name}.{len(parts)}")
        parts.append(decided.removed)
        removed = reduce(DataFrame.unionByName, parts)
        if decided.pending is None:
            return removed
        last, max_pairs = decided.last, max_pairs * 8
        pairs = materialise(search(removed.select("id"), decided.pending, max_pairs), f"{name}.{len(parts)}.found")


def decide(pairs: DataFrame, last: int, materialise: Materialise, name: str) -> Decided:
    """One pass over all pairs; `last`: the rounds before it."""
    pairs, parts = pairs.select(*_PAIR).withColumn("is_removed", F.lit(False)), []
    while pairs.count() > DRIVER_PAIRS:
        last += 1
        removed = materialise(_one_round(pairs, last), f"{name}.removed-{last}")
        parts.append(removed)
        if removed.isEmpty():  # only truncated lists, and rows that wait for them, are left
            return Decided(reduce(DataFrame.unionByName, parts), pairs.select(F.col("row").alias("id")).distinct(), last)
        pairs = materialise(_left(pairs, removed), f"{name}.pairs-{last}")
    removed, pending, last = _on_the_driver(pairs, last)
    return Decided(reduce(DataFrame.unionByName, [*parts, removed]), pending, last)


def _one_round(pairs: DataFrame, number: int) -> DataFrame:
    """The rows whose first earlier row is kept: it has no pair with a row before itself."""
    first = pairs.groupBy("row").agg(F.min(F.struct("earlier_level", "earlier", "score", "is_removed")).alias("first"))
    undecided = pairs.select(F.col("row").alias("duplicate_of")).distinct()
    removed = first.where(~F.col("first.is_removed")).select(
        F.col("row").alias("id"), F.col("first.earlier").alias("duplicate_of"), "first.score", F.lit(number).alias("round")
    )
    return removed.join(undecided, on="duplicate_of", how="left_anti").select("id", "duplicate_of", "score", "round")


def _left(pairs: DataFrame, removed: DataFrame) -> DataFrame:
    """Without the pairs of decided rows. A truncated pair stays after its earlier row was removed: what follows it is unknown."""
    rows = removed.select(F.col("id").alias("row"))
    earlier = removed.select(F.col("id").alias("earlier"), F.lit(True).alias("now"))
    left = pairs.join(rows, on="row", how="left_anti").join(earlier, on="earlier", how="left")
    left = left.withColumn("is_removed", F.col("is_removed") | F.coalesce("now", F.lit(False)))
    return left.where(~F.col("is_removed") | F.col("truncated")).select(*_PAIR, "is_removed")


def _on_the_driver(pairs: DataFrame, last: int) -> tuple[DataFrame, DataFrame | None, int]:
    table = pairs.toArrow()
    ids, row, earlier = _by_priority(table)
    truncated, removed = table["truncated"].to_numpy(), np.zeros(len(ids), np.bool_)
    removed[earlier[table["is_removed"].to_numpy()]] = True
    duplicate_of, state, rounds = greedy_mis.decide(len(ids), row, earlier, truncated, removed)
    score = np.zeros(len(ids))
    chosen = duplicate_of[row] == earlier
    score[row[chosen]] = table["score"].to_numpy()[chosen]
    out = np.flatnonzero(duplicate_of >= 0)
    columns = [ids.take(pa.array(out)), ids.take(pa.array(duplicate_of[out])), pa.array(score[out]), pa.array(rounds[out] + last)]
    session, kind = pairs.sparkSession, pairs.schema["row"].dataType
    schema = T.StructType().add("id", kind).add("duplicate_of", kind).add("score", T.DoubleType()).add("round", T.IntegerType())
    found = session.createDataFrame(pa.table(columns, names=schema.names), schema)  # Connect asks for the schema of no rows
    pending = np.flatnonzero(state == greedy_mis.PENDING)
    waiting = session.createDataFrame(pa.table([ids.take(pa.array(pending))], names=["id"])) if len(pending) else None
    return found, waiting, last + int(rounds[out].max(initial=0))


def _by_priority(table: pa.Table) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    """The ids of the pairs in priority order, and the pairs as positions among them."""
    both = pa.chunked_array([*table["row"].chunks, *table["earlier"].chunks], table.schema.field("row").type).combine_chunks()
    coded = both.dictionary_encode()
    codes = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    levels = np.zeros(len(coded.dictionary), np.int64)
    levels[codes] = np.concatenate([table["row_level"].to_numpy(), table["earlier_level"].to_numpy()])
    by_id = pc.sort_indices(coded.dictionary).to_numpy(zero_copy_only=False).astype(np.int64)
    order = by_id[np.argsort(levels[by_id], kind="stable")]
    position = np.empty(len(order), np.int64)
    position[order] = np.arange(len(order))
    placed = position[codes]
    return coded.dictionary.take(pa.array(order)), placed[: table.num_rows], placed[table.num_rows :]
