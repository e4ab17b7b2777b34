"""Similarity join of vectors by cosine: vectors that share a cluster of an inverted file (see ivf_index) are compared.

A vector is compared in its home cluster and in those whose boundary is near (`kernels.boundary_probes`). Clusters near each other form a
group, and all vectors of a group go to one task, each of them once: about two copies of a vector compare it in four clusters. Moving a row
costs Spark more than moving its bytes, so vectors are sent in blocks, those of one batch that go to one group. A hub's vectors visit no
other cluster, and are stored PACKED: cluster, ids (array), vectors (binary: float32, scaled, one after the other).
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
from personahub.dedup.arrow_columns import by_priority, larger_batches, unpacked, views
from personahub.dedup.arrow_columns import packed as in_binary
from personahub.dedup.greedy_rounds import MAX_PAIRS
from personahub.dedup.ivf_index import IvfIndex
from personahub.dedup.kernels import boundary_probes, cosine, kmeans, vectors

REASONS = {
    vectors.MISSING: "no_vector",
    vectors.DIMENSION: "vector_dimension",
    vectors.NOT_FINITE: "vector_not_finite",
    vectors.ZERO: "vector_zero",
}
ROWS = 4_096  # vectors worked on at once
PACK_BYTES = 64 << 20  # of vectors: the more, the more of each cluster lie side by side


def similar_pairs(
    rows: DataFrame, index: IvfIndex, threshold: float, hub: DataFrame | None = None, max_pairs: int = MAX_PAIRS
) -> DataFrame:
    """Rows (id, level, vector) and those of the hub, PACKED by the same index -> PAIRS (see pair_rows); identical is false.

    For each row its first `max_pairs` matches in each group of clusters. The hub's rows have level 0: none of them is a `row`. REASONS: why
    a vector was refused.
    """
    kind = rows.schema["id"].dataType
    schema = _block_schema(kind)
    blocks = rows.select("id", F.col("level").cast("int").alias("level"), "vector").mapInArrow(partial(_blocks, index), schema)
    if hub is not None:
        blocks = blocks.unionByName(hub.select("cluster", "ids", "vectors").mapInArrow(partial(_hub_blocks, index), schema))
    task = partial(_found, threshold, max_pairs, index.dimension)
    return blocks.repartition(index.partitions, "key").mapInArrow(task, pair_rows.schema(kind))


def pack(rows: DataFrame, index: IvfIndex) -> DataFrame:
    """Rows (id, vector) -> PACKED, what `similar_pairs` takes of a hub: those whose vector can be compared."""
    columns = {"cluster": T.IntegerType(), "ids": T.ArrayType(rows.schema["id"].dataType), "vectors": T.BinaryType()}
    schema = T.StructType([T.StructField(name, each) for name, each in columns.items()])
    return rows.select("id", "vector").mapInArrow(partial(_pack, index), schema)


def _block_schema(kind: T.DataType) -> T.StructType:
    """One block: key of the group (null: refused vectors), and of each vector in it level, id, the number of its visits, these one after
    the other (home is written ~cluster; of a refused vector the reason), and the vectors. Binary are int32 and float32.
    """
    binary = T.BinaryType()
    columns = {
        "key": T.IntegerType(),
        "level": binary,
        "ids": T.ArrayType(kind),
        "visits": binary,
        "places": binary,
        "vectors": binary,
    }
    return T.StructType([T.StructField(name, each) for name, each in columns.items()])


def _blocks(index: IvfIndex, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    apart = boundary_probes.centroid_distances(index.centroids)
    for whole in batches:
        for start in range(0, whole.num_rows, ROWS):
            batch = whole.slice(start, ROWS)
            fit, problems = vectors.from_arrow(batch["vector"], index.dimension)
            ids, level = batch["id"], _numpy(batch["level"])
            if problems.any():
                bad, rows = np.flatnonzero(problems != vectors.FIT), np.flatnonzero(problems == vectors.FIT)
                none, once = np.empty((len(batch), 0), np.float32), np.ones(len(bad), np.int32)
                yield _in_blocks(None, bad, ids, level, once, problems[bad], none)
                ids, level = ids.take(pa.array(rows)), level[rows]
            visits = boundary_probes.visits(fit, index.centroids, apart, index.margin)
            row, key, ends, places = boundary_probes.spread(*visits, index.groups)
            if len(row):
                yield _in_blocks(key, row, ids, level, np.diff(ends), places[: ends[-1]], fit)


def _hub_blocks(index: IvfIndex, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in larger_batches(batches):
        ids = batch["ids"].flatten()
        if not len(ids):
            continue
        (values,) = views(batch["vectors"], np.float32)
        cluster = np.repeat(_numpy(batch["cluster"]), np.diff(_numpy(batch["ids"].offsets)))
        rows, once, level = np.arange(len(ids)), np.ones(len(ids), np.int32), np.zeros(len(ids), np.int32)
        yield _in_blocks(index.groups[cluster], rows, ids, level, once, ~cluster, values.reshape(-1, index.dimension))


def _in_blocks(
    key: np.ndarray | None,
    rows: np.ndarray,
    ids: pa.Array,
    level: np.ndarray,
    visits: np.ndarray,
    places: np.ndarray,
    values: np.ndarray,
) -> pa.RecordBatch:
    """One block for each key. rows: positions in `ids`, `level` and `values`; visits, places: one entry, and its entries, for each row."""
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


def _pack(index: IvfIndex, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in larger_batches(batches, PACK_BYTES):
        fit, problems = vectors.from_arrow(batch["vector"], index.dimension)
        if not len(fit):
            continue
        ids, home = batch["id"].take(pa.array(np.flatnonzero(problems == vectors.FIT))), kmeans.assignments(fit, index.centroids)
        order = np.argsort(home, kind="stable")
        bounds = np.append(np.flatnonzero(np.diff(home[order], prepend=-1)), len(home))
        columns = {
            "cluster": pa.array(home[order][bounds[:-1]], pa.int32()),
            "ids": pa.ListArray.from_arrays(pa.array(bounds.astype(np.int32)), ids.take(pa.array(order))),
            "vectors": in_binary(fit[order].reshape(-1), bounds * fit.shape[1]),
        }
        yield pa.RecordBatch.from_pydict(columns)


def _found(threshold: float, max_pairs: int, dimension: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Whole groups, mostly one, as `ivf_index._keys` sees to -> PAIRS."""
    held = []
    for batch in batches:
        bad = batch.filter(batch["key"].is_null())
        if len(bad):
            reasons = [REASONS[problem] for problem in unpacked(bad["places"], np.int32).tolist()]
            yield pair_rows.refused(bad["ids"].flatten(), pa.array(unpacked(bad["level"], np.int32)), pa.array(reasons))
        if len(bad) < len(batch):
            held.append(batch.filter(batch["key"].is_valid()))
    if not held:
        return
    blocks = pa.Table.from_batches(held)
    keys = pc.unique(blocks["key"]).to_pylist()
    for key in keys:
        mine = blocks if len(keys) == 1 else blocks.filter(pc.equal(blocks["key"], key))
        ids = pa.concat_arrays([chunk.flatten() for chunk in mine["ids"].chunks])
        level, visits, places = (unpacked(mine[name], np.int32) for name in ("level", "visits", "places"))
        order = by_priority(level, ids)
        place, _ = _segments(visits, order)
        row, cluster = np.repeat(np.arange(len(order)), visits[order]), places[place]
        home, cluster = cluster < 0, np.where(cluster < 0, ~cluster, cluster)
        group = _in_order(mine["vectors"], order, dimension)
        row, earlier, score, truncated = cosine.cosine_pairs(group, row, cluster, home, level[order] == 0, threshold, max_pairs)
        if len(row):
            pairs = pair_rows.pairs(ids, pa.array(level), order[row], order[earlier], score, False, truncated)
            yield pairs.filter(pc.not_equal(pairs["row"], pairs["earlier"]))  # the hub may hold the very row


def _in_order(column: pa.ChunkedArray, order: np.ndarray, dimension: int) -> np.ndarray:
    """The packed vectors of a column, in this order: float32[n, dimension]. Each is copied once."""
    place, at = np.empty(len(order), np.int64), 0
    place[order] = np.arange(len(order))
    out = np.empty((len(order), dimension), np.float32)
    for values in views(column, np.float32):
        rows = values.reshape(-1, dimension)
        out[place[at : at + len(rows)]] = rows
        at += len(rows)
    return out


def _numpy(column: pa.Array) -> np.ndarray:
    return column.to_numpy(zero_copy_only=False)
