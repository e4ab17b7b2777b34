"""Arrow batches and columns as an engine hands them over, and numpy arrays of them."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

BATCH_BYTES = 8 << 20  # the larger a batch, the fewer row blocks are made of it


def larger_batches(batches: Iterator[pa.RecordBatch], min_bytes: int | None = None) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of at least `min_bytes` (BATCH_BYTES)."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(each.nbytes for each in held) >= (min_bytes or BATCH_BYTES):
            yield pa.concat_batches(held)
            held = []
    if held:
        yield pa.concat_batches(held)


def whole_groups(batches: Iterator[pa.RecordBatch], column: str, size: int) -> Iterator[list[pa.RecordBatch]]:
    """The same rows in the order of an integer column, in lists of batches of about `size` bytes. Rows of one value are in one list.

    Holds all rows: no engine promises the order of a sort before a `mapInArrow`.
    """
    held = [_sorted(batch, column) for batch in batches if batch.num_rows]
    if not held:
        return
    values = [batch[column].to_numpy() for batch in held]
    groups, group = np.unique(np.concatenate(values), return_inverse=True)
    weights = np.concatenate([np.full(len(batch), batch.nbytes / len(batch)) for batch in held])
    for begin, end in pairwise(cuts(np.bincount(group, weights), size)):
        starts = [np.searchsorted(each, groups[begin]) for each in values]
        ends = [np.searchsorted(each, groups[end - 1], "right") for each in values]
        yield [batch.slice(start, end - start) for batch, start, end in zip(held, starts, ends, strict=True) if end > start]


def _sorted(batch: pa.RecordBatch, column: str) -> pa.RecordBatch:
    values = batch[column].to_numpy()
    return batch if (values[1:] >= values[:-1]).all() else batch.take(pa.array(np.argsort(values, kind="stable")))


def cuts(sizes: np.ndarray, max_bytes: int) -> list[int]:
    """Where to cut rows of these sizes into pieces of about `max_bytes`: positions from 0 to the number of rows."""
    piece = (np.cumsum(sizes) - 1) // max_bytes
    return [0, *(np.flatnonzero(np.diff(piece)) + 1).tolist(), len(sizes)]


def packed(values: np.ndarray, bounds: np.ndarray) -> pa.Array:
    """binary: value i holds values[bounds[i]:bounds[i + 1]] as bytes."""
    ends = pa.py_buffer((bounds * values.itemsize).astype(np.int32))
    return pa.Array.from_buffers(pa.binary(), len(bounds) - 1, [None, ends, pa.py_buffer(np.ascontiguousarray(values))])


def unpacked(column: pa.Array | pa.ChunkedArray, kind: type) -> np.ndarray:
    """All values of a `packed` column in one array."""
    return np.concatenate([np.empty(0, kind), *views(column, kind)])


def views(column: pa.Array | pa.ChunkedArray, kind: type) -> Iterator[np.ndarray]:
    """The values of each chunk of a `packed` column, without a copy."""
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        if len(chunk):
            ends = np.frombuffer(chunk.buffers()[1], np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
            yield np.frombuffer(chunk.buffers()[2] or b"", np.uint8)[ends[0] : ends[-1]].view(kind)


def by_priority(level: np.ndarray, ids: pa.Array, group: np.ndarray | None = None) -> np.ndarray:
    """The positions of rows in the order of group, level and id."""
    by_id = pc.sort_indices(ids).to_numpy().astype(np.int64)
    rank = level.astype(np.int64)
    if group is not None:
        rank += group * (rank.max(initial=0) + 1)
    return by_id[np.argsort(rank[by_id], kind="stable")]


def without(ids: pa.Array, other: pa.Array, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pairs (left[i], right[i]), positions in `ids` and `other`, that are not of one row."""
    unlike = pc.not_equal(ids.take(pa.array(left)), other.take(pa.array(right))).to_numpy(zero_copy_only=False)
    return left[unlike], right[unlike]
