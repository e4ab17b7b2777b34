"""New vectors against a hub's, and each other, where they are few enough to be sent to where the hub is read: its vectors stay there.

Of a hub only those are told that are the first, by their ids, within reach of a new vector: they stand above all new ones and stay kept.
What is new alone meets on the driver, which holds it anyway.
"""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.types import from_arrow_type

from personahub.dedup import found, semantic
from personahub.dedup.arrow import by_priority, gulps, unpacked
from personahub.dedup.kernels import borders, cosine, vectors
from personahub.dedup.kernels.firsts import first_pairs
from personahub.dedup.search import Search

MOST = 64 << 20  # bytes of vectors: the driver holds them a few times, and sends them to each task
FIRST = 2  # of a hub's vectors near a new one: the hub may hold the very row, which is not told


class Visitors(NamedTuple):
    """New vectors in the order of their priority, and who visits which cluster."""

    ids: pa.Array
    level: np.ndarray  # int32
    vectors: np.ndarray  # float32[n, d] of `vectors.from_arrow`
    row: np.ndarray  # one entry a visit, by cluster, then row
    cluster: np.ndarray
    home: np.ndarray  # bool: it is the row's own cluster


def fit(rows: DataFrame, search: Search) -> bool:
    return rows.count() * search.dimension * 4 <= MOST


def gathered(rows: DataFrame, search: Search) -> tuple[Visitors, pa.RecordBatch]:
    """Rows (id, level, vector) that fit -> those that can be compared, and FOUND rows of the others."""
    table = rows.select("id", F.col("level").cast("int"), "vector").toArrow()
    ids, level, lists = (column.combine_chunks() for column in table.columns)
    values, problems = vectors.from_arrow(lists, search.dimension)
    bad = np.flatnonzero(problems != vectors.FIT)
    reasons = pa.array([semantic.REASONS[problem] for problem in problems[bad].tolist()], pa.string())
    refused = found.refused(ids.take(pa.array(bad)), level.take(pa.array(bad)), reasons)

    rows_fit = pa.array(np.flatnonzero(problems == vectors.FIT))
    ids, level = ids.take(rows_fit), level.take(rows_fit).to_numpy()
    order = by_priority(level, ids)
    ids, level, values = ids.take(pa.array(order)), level[order], values[order]
    apart, everywhere = borders.distances(search.centroids), np.zeros(len(values), np.bool_)
    starts, cluster = borders.visits(values, search.centroids, apart, search.margin, everywhere)
    row, home = np.repeat(np.arange(len(values)), np.diff(starts)), np.zeros(len(cluster), np.bool_)
    home[starts[:-1]] = True
    by_cluster = np.argsort(cluster, kind="stable")
    return Visitors(ids, level, values, row[by_cluster], cluster[by_cluster], home[by_cluster]), refused


def compared(visitors: Visitors, threshold: float, hub: DataFrame, most: int) -> pa.Table:
    """Those that were gathered, and PACKED (see semantic) -> the pairs that `semantic.found` finds; of the hub the first ones alone."""
    kind = from_arrow_type(visitors.ids.type)
    stored = hub.select("cluster", F.col("ids").cast(T.ArrayType(kind)), "vectors")
    above = stored.mapInArrow(partial(_met, visitors, threshold), found.schema(kind)).toArrow()
    by_row = np.argsort(visitors.row, kind="stable")
    row, cluster, home = (each[by_row] for each in (visitors.row, visitors.cluster, visitors.home))
    nobody = np.zeros(len(visitors.ids), np.bool_)
    low, high, score, cut = cosine.cosine_pairs(visitors.vectors, row, cluster, home, nobody, threshold, most)
    inside = found.pairs(visitors.ids, pa.array(visitors.level), low, high, score, False, cut)
    return pa.concat_tables([above, pa.Table.from_batches([inside]).cast(above.schema)])


def packed(visitors: Visitors, gone: DataFrame) -> DataFrame:
    """PACKED of those that are not gone (id)."""
    left = pc.invert(pc.is_in(visitors.ids, value_set=gone.select("id").toArrow()["id"]))
    rows = np.flatnonzero(left.to_numpy(zero_copy_only=False))
    home = np.empty(len(visitors.ids), np.int32)
    home[visitors.row[visitors.home]] = visitors.cluster[visitors.home]
    table = pa.Table.from_batches([semantic.packed_rows(visitors.ids.take(pa.array(rows)), visitors.vectors[rows], home[rows])])
    return gone.sparkSession.createDataFrame(table, semantic.packed_schema(gone.schema["id"].dataType))


def _met(visitors: Visitors, threshold: float, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """PACKED -> for each visitor the first pairs with those who are at home there."""
    squared = vectors.squared_lengths(visitors.vectors)
    for batch in gulps(batches, semantic.PACKED_AT_ONCE):
        home = np.repeat(batch["cluster"].to_numpy(), np.diff(batch["ids"].offsets.to_numpy()))
        ids, values = batch["ids"].flatten(), unpacked(batch["vectors"], np.float32).reshape(-1, visitors.vectors.shape[1])
        order = by_priority(home, ids)  # by cluster, then id
        bounds, parts = np.append(np.flatnonzero(np.diff(home[order], prepend=-1)), len(order)), []
        for begin, end in pairwise(bounds.tolist()):
            hosts, visits = order[begin:end], np.searchsorted(visitors.cluster, home[order[begin]] + np.arange(2))
            guests = visitors.row[slice(*visits)]
            low, high, score = first_pairs(visitors.vectors[guests], values[hosts], squared[guests], threshold, FIRST)
            parts.append((guests[low], hosts[high], score))
        if not parts:
            continue
        low, high, score = (np.concatenate(column) for column in zip(*parts, strict=True))
        names = pa.concat_arrays([ids, visitors.ids])
        level = np.concatenate([np.zeros(len(ids), np.int32), visitors.level])
        told = found.pairs(names, pa.array(level), low + len(ids), high, score, False, np.ones(len(low), np.bool_))
        yield told.filter(pc.not_equal(told["low"], told["high"]))
