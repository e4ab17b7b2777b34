"""Arrow's batches and columns as an engine hands them over, and numpy's arrays of them."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

GULP = 8 << 20  # bytes of rows that are taken at once: the more, the fewer bundles


def gulps(batches: Iterator[pa.RecordBatch], least: int | None = None) -> Iterator[pa.RecordBatch]:
    """The same rows in larger batches: of `least` bytes (GULP), or as they come if they are larger."""
    least = least or GULP
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(each.nbytes for each in held) >= least:
            yield pa.concat_batches(held)
            held = []
    if held:
        yield pa.concat_batches(held)


def whole_groups(batches: Iterator[pa.RecordBatch], column: str, size: int) -> Iterator[list[pa.RecordBatch]]:
    """The same rows in the order of an integer column, in lists of batches of about `size` bytes that hold all rows of each value that they
    have. Holds all of them: no engine promises the order of a sort that stands before a `mapInArrow`.
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
    if (values[1:] >= values[:-1]).all():
        return batch
    return batch.take(pa.array(np.argsort(values, kind="stable")))


def cuts(sizes: np.ndarray, most: int) -> list[int]:
    """Where to cut rows of so many bytes into pieces of some `most` bytes, from 0 to their number."""
    piece = (np.cumsum(sizes) - 1) // most
    return [0, *(np.flatnonzero(np.diff(piece)) + 1).tolist(), len(sizes)]


def packed(values: np.ndarray, bounds: np.ndarray) -> pa.Array:
    """binary: values[bounds[i]:bounds[i + 1]] as bytes."""
    ends = pa.py_buffer((bounds * values.itemsize).astype(np.int32))
    return pa.Array.from_buffers(pa.binary(), len(bounds) - 1, [None, ends, pa.py_buffer(np.ascontiguousarray(values))])


def unpacked(column: pa.Array | pa.ChunkedArray, kind: type) -> np.ndarray:
    """All values of a column of `packed` ones, one after the other."""
    return np.concatenate([np.empty(0, kind), *views(column, kind)])


def views(column: pa.Array | pa.ChunkedArray, kind: type) -> Iterator[np.ndarray]:
    """The values of each chunk of a column of `packed` ones, where they lie."""
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        if len(chunk):
            ends = np.frombuffer(chunk.buffers()[1], np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
            yield np.frombuffer(chunk.buffers()[2] or b"", np.uint8)[ends[0] : ends[-1]].view(kind)


def by_priority(level: np.ndarray, ids: pa.Array, group: np.ndarray | None = None) -> np.ndarray:
    """The positions of rows in the order of their group, level and id."""
    by_id = pc.sort_indices(ids).to_numpy().astype(np.int64)
    above = level.astype(np.int64)
    if group is not None:
        above += group * (above.max(initial=0) + 1)
    return by_id[np.argsort(above[by_id], kind="stable")]
