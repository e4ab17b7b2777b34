"""Before texts are compared: which of their keys more than one of them has. The others, most of them, need not travel with their tokens."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub.config import LexicalDedup
from personahub.dedup import keying
from personahub.dedup.kernels.sieve import sieve

MOST = 16_000_000  # keys that a sieve is made of: it then has 32 MB or 64 MB, and each task is sent it
PART_BITS = 10  # of a key: it is held against those of one of 1024 parts

Materialise = Callable[[DataFrame, str], DataFrame]


def of(texts: DataFrame, config: LexicalDedup, materialise: Materialise) -> np.ndarray | None:
    """A sieve that the keys of at least two different sets, or of two equal ones, pass. None: they are too many for one."""
    bundles = texts.select("text").mapInArrow(partial(_key_bundles, config), "part int, keys binary")
    together = bundles.repartition("part").sortWithinPartitions("part")
    repeated = materialise(together.mapInArrow(_repeated, "keys binary"), "dedup.lexical.repeated")
    count = repeated.agg(F.coalesce(F.sum(F.octet_length("keys")), F.lit(0)) / 8).collect()[0][0]
    if count > MOST:
        return None
    keys = [np.frombuffer(packed, np.uint64) for packed in repeated.toArrow()["keys"].to_pylist()]
    return sieve(np.concatenate([*keys, np.empty(0, np.uint64)]))


def _key_bundles(config: LexicalDedup, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in keying.gulps(batches):
        keys = keying.keys_of(batch["text"], config)
        parts = (keys >> np.uint64(64 - PART_BITS)).astype(np.int32)
        starts = np.flatnonzero(np.diff(parts, prepend=-1))
        packed = keying.packed(keys, np.append(starts, len(keys)))
        yield pa.RecordBatch.from_arrays([pa.array(parts[starts]), packed], names=["part", "keys"])


def _repeated(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Of each part, whose bundles stand one after the other, the keys that are there twice."""
    part, held = -1, list[bytes]()
    for batch in batches:
        for this, keys in zip(batch["part"].to_pylist(), batch["keys"].to_pylist(), strict=True):
            if this != part:
                yield _twice(held)
                part, held = this, []
            held.append(keys)
    yield _twice(held)


def _twice(bundles: list[bytes]) -> pa.RecordBatch:
    keys = np.sort(np.frombuffer(b"".join(bundles), np.uint64))
    same = np.append(False, keys[1:] == keys[:-1])[: len(keys)]
    once = keys[same & ~np.append(same[1:], False)[: len(keys)]]  # the last of each run of equal ones
    return pa.RecordBatch.from_pydict({"keys": pa.array([once.tobytes()] if len(once) else [], pa.binary())})
