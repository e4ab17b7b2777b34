"""Pairs of sets that meet under a key, as plainly as it can be done: for what measures and proves, not for the work itself."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import types as T

from personahub.dedup.arrow import by_priority, whole_groups
from personahub.dedup.kernels import buckets, sets

BLOCK = 8 << 20  # bytes of rows that are compared at once, or one bucket


def keys_schema(rows: DataFrame) -> T.StructType:
    """key, level, id (of the type that it has in `rows`), tokens (packed)."""
    fields = [("key", T.LongType()), ("level", T.IntegerType()), ("id", rows.schema["id"].dataType), ("tokens", T.BinaryType())]
    return T.StructType([T.StructField(name, kind) for name, kind in fields])


def keyed(batch: pa.RecordBatch, row: np.ndarray, key: np.ndarray, tokens: sets.TokenSets) -> pa.RecordBatch:
    """Keys (uint64) of the rows `row` of a batch (id, level), with the tokens of all its rows."""
    at = pa.array(row)
    packed = sets.to_arrow(sets.take(tokens, row))
    columns = [pa.array(key.view(np.int64)), batch["level"].take(at), batch["id"].take(at), packed]
    return pa.RecordBatch.from_arrays(columns, names=["key", "level", "id", "tokens"])


def pairs(keys: DataFrame, threshold: float, most: int) -> DataFrame:
    """Rows of `keys_schema` -> low, low_level, high, high_level, score: of each row its first `most` matches above it, key by key.

    Above is what has the lower (level, id). Equal sets are no pair. A pair is there once for each key under which it was found.
    """
    kind = keys.schema["id"].dataType
    fields = [
        ("low", kind),
        ("low_level", T.IntegerType()),
        ("high", kind),
        ("high_level", T.IntegerType()),
        ("score", T.DoubleType()),
    ]
    schema = T.StructType([T.StructField(name, one) for name, one in fields])
    return keys.repartition("key").mapInArrow(partial(_pairs, threshold, most), schema)


def _pairs(threshold: float, most: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batches_of_block in whole_groups(batches, "key", BLOCK):
        block = pa.concat_batches(batches_of_block)
        block = block.take(pa.array(by_priority(_numpy(block["level"]), block["id"], _group(_numpy(block["key"])))))
        key = _numpy(block["key"])
        starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1], [True]]))
        tokens = sets.from_arrow(block["tokens"])
        low, high, score, _ = buckets.bucket_pairs(starts, tokens, np.zeros(len(key), np.bool_), threshold, most)
        at, above = pa.array(low), pa.array(high)
        level, ids = block["level"], block["id"]
        columns = [ids.take(at), level.take(at), ids.take(above), level.take(above), pa.array(score)]
        yield pa.RecordBatch.from_arrays(columns, names=["low", "low_level", "high", "high_level", "score"])


def _group(key: np.ndarray) -> np.ndarray:
    return np.unique(key, return_inverse=True)[1]


def _numpy(column: pa.Array) -> np.ndarray:
    return column.to_numpy(zero_copy_only=False)
