"""Pairs of vectors within a cosine: who meets in a cluster is compared.

A vector is compared in its home cluster and in those whose border is near (`kernels.borders`). Clusters near each other form a group, and a
group's vectors travel to one task, each of them once: it takes about two copies of a vector to compare it in four clusters.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from personahub.dedup import found as as_found
from personahub.dedup.kernels import borders, cosine, vectors
from personahub.dedup.keying import by_priority
from personahub.dedup.rounds import MOST
from personahub.dedup.search import Search, prepare, vector_column

__all__ = ["REASONS", "Search", "found", "levelled", "prepare", "vector_column"]

REASONS = {
    vectors.MISSING: "no_vector",
    vectors.DIMENSION: "vector_dimension",
    vectors.NOT_FINITE: "vector_not_finite",
    vectors.ZERO: "vector_zero",
}
ROWS = 4_096  # vectors worked on at once


def found(rows: DataFrame, search: Search, threshold: float, hub: DataFrame | None = None, most: int = MOST) -> DataFrame:
    """Rows (id, level, vector) and those of the hub (id, vector) -> FOUND, with the columns of `found.schema`; identical is false.

    For each row its first `most` matches above it, in each group of clusters that it is compared in. The hub's rows have level 0 and are
    no `low`. A vector that can not be compared is a row without `high`; refused says why (REASONS).
    """
    kind = rows.schema["id"].dataType
    moving = T.StructType(
        [
            T.StructField("key", T.IntegerType()),
            T.StructField("level", T.IntegerType()),
            T.StructField("id", kind),
            T.StructField("places", T.BinaryType()),
            T.StructField("vector", T.BinaryType()),
        ]
    )
    copies = levelled(rows, hub).mapInArrow(partial(_copies, search), moving)
    task = partial(_found, threshold, most, search.dimension)
    return copies.repartition(search.partitions, "key").mapInArrow(task, as_found.schema(kind))


def levelled(rows: DataFrame, hub: DataFrame | None) -> DataFrame:
    """Rows (id, level, vector), with those of the hub (id, vector) at level 0."""
    rows = rows.select("id", F.col("level").cast("int").alias("level"), "vector")
    return rows if hub is None else rows.unionByName(hub.select("id", F.lit(0).alias("level"), "vector"))


def _copies(search: Search, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """A row for each group that a vector goes to; places: in which of its clusters. A refused vector: no key, and the reason as places."""
    apart = borders.distances(search.centroids)
    for whole in batches:
        for start in range(0, whole.num_rows, ROWS):
            batch = whole.slice(start, ROWS)
            fit, problems = vectors.from_arrow(batch["vector"], search.dimension)
            if problems.any():
                yield _refused(batch, problems)
                batch = batch.take(pa.array(np.flatnonzero(problems == vectors.FIT)))
            starts, clusters = borders.visits(fit, search.centroids, apart, search.margin, _numpy(batch["level"]) == 0)
            row, key, ends, places = borders.spread(starts, clusters, search.groups)
            buffers = [None, pa.py_buffer(ends * np.int32(4)), pa.py_buffer(places)]
            columns = {
                "key": pa.array(key),
                "level": batch["level"].take(pa.array(row)),
                "id": batch["id"].take(pa.array(row)),
                "places": pa.Array.from_buffers(pa.binary(), len(row), buffers),
                "vector": vectors.to_arrow(fit[row]),
            }
            yield pa.RecordBatch.from_pydict(columns)


def _refused(batch: pa.RecordBatch, problems: np.ndarray) -> pa.RecordBatch:
    bad = np.flatnonzero((problems != vectors.FIT) & (_numpy(batch["level"]) > 0))  # the hub's own were refused in their day
    columns = {
        "key": pa.nulls(len(bad), pa.int32()),
        "level": batch["level"].take(pa.array(bad)),
        "id": batch["id"].take(pa.array(bad)),
        "places": pa.array([REASONS[problem].encode() for problem in problems[bad].tolist()], pa.binary()),
        "vector": pa.nulls(len(bad), pa.binary()),
    }
    return pa.RecordBatch.from_pydict(columns)


def _found(threshold: float, most: int, dimension: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """What comes is whole groups, mostly one: `search.keys` sees to that."""
    held = []
    for batch in batches:
        if batch["key"].null_count:
            bad = batch.filter(batch["key"].is_null())
            yield as_found.refused(bad["id"], bad["level"], bad["places"].cast(pa.string()))
            batch = batch.filter(batch["key"].is_valid())
        if batch.num_rows:
            held.append(batch)
    keys = np.concatenate([batch["key"].to_numpy() for batch in held]) if held else np.empty(0, np.int32)
    for key in np.unique(keys).tolist():
        ids, level, places = (pa.concat_arrays([batch[name] for batch in held]) for name in ("id", "level", "places"))
        rows = np.flatnonzero(keys == key)
        rows = rows[by_priority(_numpy(level)[rows], ids.take(pa.array(rows)))]
        group = _gathered(held, rows, dimension)
        row, cluster, home = _visits(places.take(pa.array(rows)))
        low, high, score, cut = cosine.cosine_pairs(group, row, cluster, home, _numpy(level)[rows] == 0, threshold, most)
        if len(low):
            pairs = as_found.pairs(ids, level, rows[low], rows[high], score, False, cut)
            yield pairs.filter(pc.not_equal(pairs["low"], pairs["high"]))  # the hub may hold the very row


def _visits(places: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One entry a visit: the position of the row, the cluster, and whether it is the row's home."""
    row = np.repeat(np.arange(len(places)), pc.binary_length(places).to_numpy() // 4)
    cluster = vectors.from_binary(places, "<i4")
    return row, np.where(cluster < 0, ~cluster, cluster), cluster < 0


def _gathered(held: list[pa.RecordBatch], rows: np.ndarray, dimension: int) -> np.ndarray:
    """float32[n, d]: the vectors of these rows, counted over all batches, in this order."""
    out = np.empty((len(rows), dimension), np.float32)
    begin = 0
    for batch in held:
        here = np.flatnonzero((rows >= begin) & (rows < begin + batch.num_rows))
        out[here] = vectors.from_binary(batch["vector"]).reshape(-1, dimension)[rows[here] - begin]
        begin += batch.num_rows
    return out


def _numpy(column: pa.Array) -> np.ndarray:
    return column.to_numpy(zero_copy_only=False)
