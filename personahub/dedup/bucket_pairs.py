"""ROW BLOCKS to PAIRS, as Arrow batches on the executors: the rows that share a key are a bucket, compared with each other."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from personahub.dedup import pair_rows
from personahub.dedup.arrow_columns import by_priority, whole_groups
from personahub.dedup.blocking_keys import SET_ROW, Keyed
from personahub.dedup.kernels import buckets
from personahub.dedup.kernels.sets import TokenSets
from personahub.dedup.row_blocks import REFUSED, from_blocks

EMPTY, TOO_LONG = "empty_text", "too_long"
UNPACKED_BYTES = 16 << 20  # of blocks that are unpacked at once, or one part if that is more


def pairs(kind: pa.DataType, threshold: float, max_pairs: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """All blocks of some parts -> PAIRS (see jaccard_join.similar_pairs). kind: the type of the ids."""
    for blocks in whole_groups(batches, "part", UNPACKED_BYTES):
        ends = [
            int(np.searchsorted(batch["part"].to_numpy(), REFUSED, side="right")) for batch in blocks
        ]  # REFUSED is the lowest part
        if any(ends):
            keyed = from_blocks([batch.slice(0, end) for batch, end in zip(blocks, ends, strict=True)], kind)
            reasons = [TOO_LONG if size else EMPTY for size in keyed.tokens.sizes]
            yield pair_rows.refused(keyed.id, pa.array(keyed.level), pa.array(reasons, pa.string()))
        others = [batch.slice(end) for batch, end in zip(blocks, ends, strict=True)]
        yield from _of_buckets(from_blocks(others, kind), threshold, max_pairs)


def _of_buckets(keyed: Keyed, threshold: float, max_pairs: int) -> Iterator[pa.RecordBatch]:
    """All keyed rows of some keys -> the pairs among them."""
    order = np.argsort(keyed.key)
    key = keyed.key[order]
    starts = np.flatnonzero(np.append(True, key[1:] != key[:-1])[: len(key)])
    sizes = np.diff(np.append(starts, len(key)))
    of_sets = key[starts] & SET_ROW == SET_ROW
    for chosen, compare in (((sizes > 1) & of_sets, _equal_sets), ((sizes > 1) & ~of_sets, buckets.bucket_pairs)):
        if not chosen.any():
            continue
        rows = order[np.repeat(chosen, sizes)]
        bucket = np.repeat(np.arange(chosen.sum()), sizes[chosen])
        members = keyed.take(rows[by_priority(keyed.level[rows], keyed.id.take(pa.array(rows)), bucket)])
        bounds = np.append(0, np.cumsum(sizes[chosen]))
        row, earlier, score, truncated = compare(bounds, members.tokens, members.level == 0, threshold, max_pairs)
        if len(row):
            level = pa.array(members.level)
            yield _once(pair_rows.pairs(members.id, level, row, earlier, score, compare is _equal_sets, truncated))


def _once(pairs: pa.RecordBatch) -> pa.RecordBatch:
    """Each pair once, which was found in every bucket that has both rows; truncated if any of its lists ends with it."""
    coded = pa.concat_arrays([pairs["row"], pairs["earlier"]]).dictionary_encode()
    row, earlier = coded.indices.to_numpy().astype(np.int64).reshape(2, -1)
    pair = row * len(coded.dictionary) + earlier
    order = np.argsort(pair, kind="stable")
    starts = np.flatnonzero(np.diff(pair[order], prepend=-1))
    truncated = np.logical_or.reduceat(pairs["truncated"].to_numpy(zero_copy_only=False)[order], starts)
    once = pairs.take(pa.array(order[starts]))
    return once.set_column(once.schema.get_field_index("truncated"), "truncated", pa.array(truncated))


def _equal_sets(
    starts: np.ndarray, tokens: TokenSets, decided: np.ndarray, threshold: float, max_pairs: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """`buckets.bucket_pairs` for set rows: each copy with the first row of its bucket that has the same hash."""
    bucket, hashes = np.repeat(np.arange(len(starts) - 1), np.diff(starts)), tokens.values
    order = np.lexsort((hashes, bucket))  # stable: equal ones stay in priority order
    new = np.append(True, (np.diff(bucket[order]) != 0) | (hashes[order][1:] != hashes[order][:-1]))
    first = order[np.flatnonzero(new)[np.cumsum(new) - 1]]
    copies = ~new & ~decided[order]
    row = order[copies]
    return row, first[copies], np.ones(len(row)), np.zeros(len(row), np.bool_)
