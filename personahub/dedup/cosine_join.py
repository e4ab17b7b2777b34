"""Pairs of vectors within a cosine: who meets in a cluster is compared.

A vector is compared in its home cluster and in those whose border is near (`kernels.borders`). Clusters near each other form a group, and a
group's vectors travel to one task, each of them once: it takes about two copies of a vector to compare it in four clusters. Moving a row
costs Spark more than moving its bytes, so they travel in *bundles*, those of one batch that go to one group. A hub's vectors, which stay at
home, are stored PACKED: cluster, ids (array), vectors (binary: float32, scaled, one after the other).
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from personahub.dedup import pair_rows
from personahub.dedup.arrow_columns import by_priority, gulps, unpacked, views
from personahub.dedup.arrow_columns import packed as in_binary
from personahub.dedup.greedy_rounds import MOST
from personahub.dedup.ivf_index import Search, prepare, vector_column
from personahub.dedup.kernels import boundary_probes, cosine, kmeans, vectors

__all__ = ["REASONS", "Search", "found", "levelled", "pack", "prepare", "vector_column"]

REASONS = {
    vectors.MISSING: "no_vector",
    vectors.DIMENSION: "vector_dimension",
    vectors.NOT_FINITE: "vector_not_finite",
    vectors.ZERO: "vector_zero",
}
ROWS = 4_096  # vectors worked on at once
PACKED_AT_ONCE = 64 << 20  # bytes of vectors: the more, the more of each cluster lie side by side


def found(rows: DataFrame, search: Search, threshold: float, hub: DataFrame | None = None, most: int = MOST) -> DataFrame:
    """Rows (id, level, vector) and those of the hub, PACKED by the same search -> FOUND, by `found.schema`; identical is false.

    For each row its first `most` matches above it, in each group of clusters that it is compared in. The hub's rows have level 0 and are
    no `low`. A vector that can not be compared is a row without `high`; refused says why (REASONS).
    """
    kind = rows.schema["id"].dataType
    schema = _bundle_schema(kind)
    rows = rows.select("id", F.col("level").cast("int").alias("level"), "vector")
    bundles = rows.mapInArrow(partial(_bundles, search), schema)
    if hub is not None:
        bundles = bundles.unionByName(hub.select("cluster", "ids", "vectors").mapInArrow(partial(_hub_bundles, search), schema))
    task = partial(_found, threshold, most, search.dimension)
    return bundles.repartition(search.partitions, "key").mapInArrow(task, pair_rows.schema(kind))


def pack(rows: DataFrame, search: Search) -> DataFrame:
    """Rows (id, vector) -> PACKED, those whose vector can be compared: what `found` takes of a hub."""
    return rows.select("id", "vector").mapInArrow(partial(_pack, search), packed_schema(rows.schema["id"].dataType))


def pack_without(rows: DataFrame, search: Search, gone: DataFrame) -> DataFrame:
    """PACKED of the rows that are not gone (id)."""
    return pack(rows.join(gone, on="id", how="left_anti"), search)


def packed_schema(kind: T.DataType) -> T.StructType:
    """kind: of the ids."""
    columns = {"cluster": T.IntegerType(), "ids": T.ArrayType(kind), "vectors": T.BinaryType()}
    return T.StructType([T.StructField(name, each) for name, each in columns.items()])


def levelled(rows: DataFrame, hub: DataFrame | None) -> DataFrame:
    """Rows (id, level, vector), with those of the hub (id, vector) at level 0."""
    rows = rows.select("id", F.col("level").cast("int").alias("level"), "vector")
    return rows if hub is None else rows.unionByName(hub.select("id", F.lit(0).alias("level"), "vector"))


def _bundle_schema(kind: T.DataType) -> T.StructType:
    """One bundle: key of the group (null: vectors that are refused), and of each vector in it level, id, the number of its visits, these
    one after the other (home is written ~cluster; of a refused one the reason), and the vectors. Binary are int32 and float32.
    """
    return T.StructType(
        [
            T.StructField("key", T.IntegerType()),
            T.StructField("level", T.BinaryType()),
            T.StructField("ids", T.ArrayType(kind)),
            T.StructField("visits", T.BinaryType()),
            T.StructField("places", T.BinaryType()),
            T.StructField("vectors", T.BinaryType()),
        ]
    )


def _bundles(search: Search, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    apart = boundary_probes.distances(search.centroids)
    for whole in batches:
        for start in range(0, whole.num_rows, ROWS):
            batch = whole.slice(start, ROWS)
            fit, problems = vectors.from_arrow(batch["vector"], search.dimension)
            ids, level = batch["id"], _numpy(batch["level"])
            if problems.any():
                bad, rows = np.flatnonzero(problems != vectors.FIT), np.flatnonzero(problems == vectors.FIT)
                none, once = np.empty((len(batch), 0), np.float32), np.ones(len(bad), np.int32)
                yield _bundled(None, bad, ids, level, once, problems[bad].astype(np.int32), none)
                ids, level = ids.take(pa.array(rows)), level[rows]
            starts, clusters = boundary_probes.visits(fit, search.centroids, apart, search.margin, np.zeros(len(fit), np.bool_))
            row, key, ends, places = boundary_probes.spread(starts, clusters, search.groups)
            if len(row):
                yield _bundled(key, row, ids, level, np.diff(ends), places[: ends[-1]], fit)


def _hub_bundles(search: Search, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in gulps(batches):
        ids = batch["ids"].flatten()
        if not len(ids):
            continue
        (values,) = views(batch["vectors"], np.float32)
        cluster = np.repeat(_numpy(batch["cluster"]), np.diff(_numpy(batch["ids"].offsets)))
        rows, once = np.arange(len(ids)), np.ones(len(ids), np.int32)
        level = np.zeros(len(ids), np.int32)
        yield _bundled(search.groups[cluster], rows, ids, level, once, ~cluster, values.reshape(-1, search.dimension))


def _bundled(
    key: np.ndarray | None,
    rows: np.ndarray,
    ids: pa.Array,
    level: np.ndarray,
    visits: np.ndarray,
    places: np.ndarray,
    values: np.ndarray,
) -> pa.RecordBatch:
    """A bundle for each key. rows: which of the vectors, `ids`, `level` and `values`, each of them is; visits, places: its own."""
    keys = np.zeros(len(rows), np.int32) if key is None else key
    order = np.argsort(keys, kind="stable")
    bounds = np.append(np.flatnonzero(np.diff(keys[order], prepend=keys[order[:1]] - 1)), len(rows))
    place, place_bounds = _segments(visits, order)
    columns = {
        "key": pa.nulls(len(bounds) - 1, pa.int32()) if key is None else pa.array(keys[order][bounds[:-1]], pa.int32()),
        "level": in_binary(level[rows[order]].astype(np.int32), bounds),
        "ids": pa.ListArray.from_arrays(pa.array(bounds.astype(np.int32)), ids.take(pa.array(rows[order]))),
        "visits": in_binary(visits[order].astype(np.int32), bounds),
        "places": in_binary(places[place].astype(np.int32), place_bounds[bounds]),
        "vectors": in_binary(values[rows[order]].reshape(-1), bounds * values.shape[1]),
    }
    return pa.RecordBatch.from_pydict(columns)


def _segments(sizes: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Segments of these sizes, one after the other, in another order -> the positions of what is in them, and where each begins."""
    starts, sizes = np.append(0, np.cumsum(sizes))[:-1][order], sizes[order]
    bounds = np.append(0, np.cumsum(sizes))
    return np.arange(bounds[-1]) + np.repeat(starts - bounds[:-1], sizes), bounds


def _pack(search: Search, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in gulps(batches, PACKED_AT_ONCE):
        fit, problems = vectors.from_arrow(batch["vector"], search.dimension)
        if not len(fit):
            continue
        ids = batch["id"].take(pa.array(np.flatnonzero(problems == vectors.FIT)))
        yield packed_rows(ids, fit, kmeans.homes(fit, search.centroids))


def packed_rows(ids: pa.Array, values: np.ndarray, home: np.ndarray) -> pa.RecordBatch:
    """PACKED: vectors as `vectors.from_arrow` gives them, and the cluster of each."""
    order = np.argsort(home, kind="stable")
    bounds = np.append(np.flatnonzero(np.diff(home[order], prepend=-1)), len(home))
    columns = {
        "cluster": pa.array(home[order][bounds[:-1]], pa.int32()),
        "ids": pa.ListArray.from_arrays(pa.array(bounds.astype(np.int32)), ids.take(pa.array(order))),
        "vectors": in_binary(values[order].reshape(-1), bounds * values.shape[1]),
    }
    return pa.RecordBatch.from_pydict(columns)


def _found(threshold: float, most: int, dimension: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """What comes is whole groups, mostly one: `search.keys` sees to that."""
    held = []
    for batch in batches:
        bad = batch.filter(batch["key"].is_null())
        if len(bad):
            reasons = [REASONS[problem] for problem in unpacked(bad["places"], np.int32).tolist()]
            yield pair_rows.refused(bad["ids"].flatten(), pa.array(unpacked(bad["level"], np.int32)), pa.array(reasons))
        if len(bad) < len(batch):
            held.append(batch.filter(batch["key"].is_valid()))
    bundles = pa.Table.from_batches(held) if held else None
    keys = pc.unique(bundles["key"]).to_pylist() if bundles else []
    for key in keys:
        mine = bundles if len(keys) == 1 else bundles.filter(pc.equal(bundles["key"], key))
        ids = pa.concat_arrays([chunk.flatten() for chunk in mine["ids"].chunks])
        level, visits, places = (unpacked(mine[name], np.int32) for name in ("level", "visits", "places"))
        order = by_priority(level, ids)
        place, _ = _segments(visits, order)
        row, cluster = np.repeat(np.arange(len(order)), visits[order]), places[place]
        home, cluster = cluster < 0, np.where(cluster < 0, ~cluster, cluster)
        group = _in_order(mine["vectors"], order, dimension)
        low, high, score, cut = cosine.cosine_pairs(group, row, cluster, home, level[order] == 0, threshold, most)
        if len(low):
            pairs = pair_rows.pairs(ids, pa.array(level), order[low], order[high], score, False, cut)
            yield pairs.filter(pc.not_equal(pairs["low"], pairs["high"]))  # the hub may hold the very row


def _in_order(column: pa.ChunkedArray, order: np.ndarray, dimension: int) -> np.ndarray:
    """The packed vectors of a column, in this order: float32[n, dimension]. Each is copied once."""
    place, at = np.empty(len(order), np.int64), 0
    place[order] = np.arange(len(order))
    vectors = np.empty((len(order), dimension), np.float32)
    for values in views(column, np.float32):
        rows = values.reshape(-1, dimension)
        vectors[place[at : at + len(rows)]] = rows
        at += len(rows)
    return vectors


def _numpy(column: pa.Array) -> np.ndarray:
    return column.to_numpy(zero_copy_only=False)
