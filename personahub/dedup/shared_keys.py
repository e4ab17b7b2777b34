"""Before texts are compared: which of their keys can meet another's. Of the others, most of them, no row need travel with its tokens."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub.config import LexicalDedup
from personahub.dedup import blocking_keys, row_blocks
from personahub.dedup.arrow_columns import gulps, packed, unpacked, whole_groups
from personahub.dedup.kernels.bloom_filter import sieve

MOST = 16_000_000  # keys that a sieve is made of: it then has 32 MB or 64 MB, and each task is sent it
PART_BITS = 10  # of a key: it is held against those of one of 1024 parts
BLOCK = 16 << 20  # bytes of keys that are sorted at once
KEYS_A_WORD = 3  # of a sieve: 2 to 4
FEWEST_BITS, ROWS_A_PART = 5, 256

Materialise = Callable[[DataFrame, str], DataFrame]


def of_shared(texts: DataFrame, config: LexicalDedup, materialise: Materialise) -> np.ndarray | None:
    """A sieve that the keys of at least two different sets, or of two equal ones, pass. None: they are too many for one."""
    bundles = texts.select("text").mapInArrow(partial(_key_bundles, config), "part int, keys binary")
    together = bundles.repartition("part")
    return of_keys(_collected(materialise(together.mapInArrow(_repeated, "keys binary"), "dedup.lexical.repeated"), "keys"))


def all_keys(texts: DataFrame, config: LexicalDedup, materialise: Materialise, name: str) -> np.ndarray | None:
    """uint64: the keys of the texts, with repeats. None: they are too many for a sieve."""
    return _collected(materialise(texts.select("text").mapInArrow(partial(_keys, config), "keys binary"), name), "keys")


def part_bits(sieve: np.ndarray | None, share: float = 1.0) -> int:
    """How many bits of a key tell its part, where `share` of the keys that a sieve was made of pass it: a bundle is to hold many rows."""
    if sieve is None:
        return row_blocks.PART_BITS
    return min(row_blocks.PART_BITS, max(FEWEST_BITS, round(np.log2(len(sieve) * KEYS_A_WORD * share / ROWS_A_PART))))


def of_keys(keys: np.ndarray | None) -> np.ndarray | None:
    return None if keys is None else sieve(keys)


def of_shared_or_met(keys: np.ndarray | None, met: DataFrame) -> np.ndarray | None:
    """A sieve that, of these keys, those pass that are there twice, or that a row of the BUNDLES has, which are written already."""
    others = None if keys is None else _collected(met, "key")
    if others is None:
        return None
    keys = np.sort(keys)
    return sieve(np.concatenate([keys[1:][keys[1:] == keys[:-1]], others]))


def _collected(rows: DataFrame, column: str) -> np.ndarray | None:
    """uint64: what a column of packed keys holds. None: it is more than MOST."""
    count = rows.agg(F.coalesce(F.sum(F.octet_length(column)), F.lit(0)) / 8).collect()[0][0]
    if count > MOST:
        return None
    return np.frombuffer(b"".join(rows.select(column).toArrow()[column].to_pylist()), np.uint64)


def _keys(config: LexicalDedup, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in gulps(batches):
        yield pa.RecordBatch.from_pydict(
            {"keys": pa.array([blocking_keys.keys_of(batch["text"], config).tobytes()], pa.binary())}
        )


def _key_bundles(config: LexicalDedup, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in gulps(batches):
        keys = blocking_keys.keys_of(batch["text"], config)
        parts = (keys >> np.uint64(64 - PART_BITS)).astype(np.int32)
        starts = np.flatnonzero(np.diff(parts, prepend=-1))
        bundles = packed(keys, np.append(starts, len(keys)))
        yield pa.RecordBatch.from_arrays([pa.array(parts[starts]), bundles], names=["part", "keys"])


def _repeated(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Of the keys of whole parts those that are there twice."""
    for block in whole_groups(batches, "part", BLOCK):
        keys = np.sort(np.concatenate([unpacked(batch["keys"], np.uint64) for batch in block]))
        same = np.append(False, keys[1:] == keys[:-1])[: len(keys)]
        once = keys[same & ~np.append(same[1:], False)[: len(keys)]]  # the last of each run of equal ones
        if len(once):
            yield pa.RecordBatch.from_pydict({"keys": pa.array([once.tobytes()], pa.binary())})
