"""Whether ids are those of one row each: asked of their hashes first, which few bytes hold, and of the ids only if two are alike."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub.errors import InputError

PART_BITS = 8  # of a hash: it is held against those of one of 256 parts
_SHOWN = 4  # wrong ids that are named


def check_ids(staged: DataFrame, id_column: str) -> None:
    """Raises InputError if ids of staged rows are null or repeat: a result could not say which of the rows it is about."""
    ids = staged.where(F.col("unreadable").isNull()).select("id")
    if not _may_be_wrong(ids):
        return
    groups = ids.groupBy("id").agg(F.count("*").alias("rows"))
    wrong = groups.where((F.col("rows") > 1) | F.col("id").isNull())
    named = wrong.orderBy(F.col("id").isNotNull(), F.col("rows").desc(), "id").limit(_SHOWN + 1).collect()
    if not named:
        return
    nulls = [f"null on {row.rows:,}" for row in named if row.id is None]
    twice = [f"{row.id!r} on {row.rows:,}" for row in named if row.id is not None]
    more = ", ..." if len(named) > _SHOWN else ""
    first = ", ".join((nulls + twice)[:_SHOWN])
    raise InputError(
        f"the ids in column {id_column!r} are not those of one row each: {first}{more} rows. Make them so, or name no id column: "
        "then ids are made from the text"
    )


def _may_be_wrong(ids: DataFrame) -> bool:
    """An id is null, or two have the same hash."""
    hashes = ids.select(F.when(F.col("id").isNotNull(), F.xxhash64("id")).alias("hash"))
    bundles = hashes.mapInArrow(_bundles, "part int, hashes binary")
    wrong = bundles.repartition("part").sortWithinPartitions("part").mapInArrow(_repeats, "wrong boolean")
    return not wrong.isEmpty()


def _bundles(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The hashes of a task by their parts; two times one hash for a null."""
    columns = [batch.column(0) for batch in batches]
    nulls = any(column.null_count for column in columns)
    hashes = np.sort(np.concatenate([np.zeros(2 * nulls, np.int64), *(column.drop_null().to_numpy() for column in columns)]))
    parts = hashes >> (64 - PART_BITS)
    starts = np.flatnonzero(np.diff(parts, prepend=-1 << PART_BITS))
    ends = np.append(starts, len(parts))[1:]
    packed = [hashes[start:end].tobytes() for start, end in zip(starts, ends, strict=True)]
    yield pa.RecordBatch.from_pydict({"part": pa.array(parts[starts], pa.int32()), "hashes": pa.array(packed, pa.binary())})


def _repeats(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """A row for each part, whose bundles stand one after the other, in which a hash repeats."""
    part, held = None, list[bytes]()
    for batch in batches:
        for this, hashes in zip(batch["part"].to_pylist(), batch["hashes"].to_pylist(), strict=True):
            if this != part:
                yield _repeat(held)
                part, held = this, []
            held.append(hashes)
    yield _repeat(held)


def _repeat(bundles: list[bytes]) -> pa.RecordBatch:
    hashes = np.sort(np.frombuffer(b"".join(bundles), np.int64))
    found = bool((hashes[1:] == hashes[:-1]).any())
    return pa.RecordBatch.from_pydict({"wrong": pa.array([True] * found, pa.bool_())})
