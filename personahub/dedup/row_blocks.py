"""Keyed rows to ROW BLOCKS and back: Arrow batches on the executors. See jaccard_join for the rows.

Moving a row costs Spark far more than moving its bytes. So a block holds the rows of one batch whose keys begin with the same bits, packed
into a few binary values.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from personahub.dedup.arrow_columns import packed, unpacked
from personahub.dedup.blocking_keys import Keyed
from personahub.dedup.kernels import sets
from personahub.dedup.kernels.sets import TokenSets

SCHEMA = "part int, key binary, level binary, size binary, tokens binary, id_size binary, ids binary"
PART_BITS = 12  # of a key: rows are compared within one of 4096 parts, or of fewer
REFUSED = -1  # the part of the texts that can not be compared


def to_blocks(keyed: Keyed, bits: int = PART_BITS, part: int | None = None) -> pa.RecordBatch:
    """One block for each part, the first `bits` of a key, that has rows; or one block of all rows with this part."""
    parts = (keyed.key >> np.uint64(64 - bits)).astype(np.int32) if part is None else np.full(len(keyed.key), part, np.int32)
    starts = np.flatnonzero(np.diff(parts, prepend=-2))
    bounds = np.append(starts, len(parts))
    ends, data = _bytes_of(keyed.id)
    columns = {
        "part": pa.array(parts[starts]),
        "key": packed(keyed.key, bounds),
        "level": packed(keyed.level, bounds),
        "size": packed(keyed.tokens.sizes.astype(np.int32), bounds),
        "tokens": packed(keyed.tokens.values, keyed.tokens.offsets[bounds] - keyed.tokens.offsets[0]),
        "id_size": packed(np.diff(ends).astype(np.int32), bounds),
        "ids": packed(data, ends[bounds]),
    }
    return pa.RecordBatch.from_pydict(columns)


def from_blocks(batches: Sequence[pa.RecordBatch], kind: pa.DataType) -> Keyed:
    """kind: the type of the ids."""
    blocks = pa.Table.from_batches(batches)
    key, level = unpacked(blocks["key"], np.uint64), unpacked(blocks["level"], np.int32)
    tokens = TokenSets(np.append(0, np.cumsum(unpacked(blocks["size"], np.int32))), unpacked(blocks["tokens"], np.uint64))
    ends = pa.py_buffer(np.append(0, np.cumsum(unpacked(blocks["id_size"], np.int32))).astype(np.int32))
    data = pa.py_buffer(unpacked(blocks["ids"], np.uint8))
    ids = pa.Array.from_buffers(kind, len(key), [None, ends, data] if pa.types.is_string(kind) else [None, data])
    return Keyed(key, level, ids, tokens)


def _bytes_of(ids: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of ids, strings or integers, and where in them each begins, and the last ends. (Spark moves a list of ids one by one.)"""
    if pa.types.is_string(ids.type) or pa.types.is_large_string(ids.type):
        ends, data = sets.buffers(ids)
        return ends - ends[0], data[ends[0] : ends[-1]]
    values = ids.to_numpy()
    return np.arange(len(values) + 1) * values.itemsize, values.view(np.uint8)
