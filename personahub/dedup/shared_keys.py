"""Which keys more than one text has. Only under such a key is a row sent with its tokens; most keys are of one text alone."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub.config import LexicalDedup
from personahub.dedup import blocking_keys, row_blocks
from personahub.dedup.arrow_columns import larger_batches, packed, unpacked, whole_groups
from personahub.dedup.kernels import bloom_filter

MAX_KEYS = 16_000_000  # of a filter: it then has 32 MB or 64 MB, and each task is sent it
PART_BITS = 10  # of a key: keys are sorted within one of 1024 parts
SORT_BYTES = 16 << 20  # of keys that are sorted at once
KEYS_A_WORD = 3  # of a filter: 2 to 4
MIN_BITS, ROWS_A_PART = 5, 256

Materialise = Callable[[DataFrame, str], DataFrame]


def of_texts(texts: DataFrame, config: LexicalDedup, materialise: Materialise) -> np.ndarray | None:
    """A filter of the keys of at least two different sets, or of two equal ones. None: they are too many for a filter."""
    keys = _keys(texts, config).repartition("part").mapInArrow(_repeated, "keys binary")
    return of_keys(_collected(materialise(keys, "dedup.lexical.repeated"), "keys"))


def all_keys(texts: DataFrame, config: LexicalDedup, materialise: Materialise, name: str) -> np.ndarray | None:
    """uint64: the keys of the texts, with repeats. None: they are too many for a filter."""
    return _collected(materialise(_keys(texts, config), name), "keys")


def of_keys(keys: np.ndarray | None) -> np.ndarray | None:
    return None if keys is None else bloom_filter.build(keys)


def of_repeated(keys: np.ndarray | None, blocks: DataFrame) -> np.ndarray | None:
    """A filter of those of the keys that are there twice, or that a row of the ROW BLOCKS has, which are written already."""
    if keys is None or (others := _collected(blocks, "key")) is None:
        return None
    keys = np.sort(keys)
    return of_keys(np.concatenate([keys[1:][keys[1:] == keys[:-1]], others]))


def part_bits(bloom: np.ndarray | None, share: float = 1.0) -> int:
    """How many bits of a key make its part, where `share` of the filter's keys pass: so few that a block holds many rows."""
    if bloom is None:
        return row_blocks.PART_BITS
    return min(row_blocks.PART_BITS, max(MIN_BITS, round(np.log2(len(bloom) * KEYS_A_WORD * share / ROWS_A_PART))))


def _keys(texts: DataFrame, config: LexicalDedup) -> DataFrame:
    """part, keys: those of a batch of texts, packed by their first bits."""
    return texts.select("text").mapInArrow(partial(_keys_by_part, config), "part int, keys binary")


def _collected(rows: DataFrame, column: str) -> np.ndarray | None:
    """uint64: the keys in a packed column. None: they are more than MAX_KEYS."""
    count = rows.agg(F.coalesce(F.sum(F.octet_length(column)), F.lit(0)) / 8).collect()[0][0]
    if count > MAX_KEYS:
        return None
    return np.frombuffer(b"".join(rows.select(column).toArrow()[column].to_pylist()), np.uint64)


def _keys_by_part(config: LexicalDedup, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in larger_batches(batches):
        keys = blocking_keys.keys_of(batch["text"], config)
        parts = (keys >> np.uint64(64 - PART_BITS)).astype(np.int32)
        starts = np.flatnonzero(np.diff(parts, prepend=-1))
        columns = [pa.array(parts[starts]), packed(keys, np.append(starts, len(keys)))]
        yield pa.RecordBatch.from_arrays(columns, names=["part", "keys"])


def _repeated(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The keys of whole parts that are there twice, once each."""
    for block in whole_groups(batches, "part", SORT_BYTES):
        keys = np.sort(np.concatenate([unpacked(batch["keys"], np.uint64) for batch in block]))
        same = np.append(False, keys[1:] == keys[:-1])[: len(keys)]
        last = keys[same & ~np.append(same[1:], False)[: len(keys)]]  # of each run of equal ones
        yield pa.RecordBatch.from_pydict({"keys": pa.array([last.tobytes()], pa.binary())})
