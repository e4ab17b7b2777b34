"""Bundles of keyed rows to pairs, as Arrow batches on the executors: the rows that share a key are a bucket, compared as a whole."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from personahub.dedup import pair_rows
from personahub.dedup.arrow_columns import by_priority, whole_groups
from personahub.dedup.blocking_keys import SET_ROW, Keyed
from personahub.dedup.kernels import buckets
from personahub.dedup.kernels.sets import TokenSets
from personahub.dedup.row_blocks import REFUSED, from_bundles

EMPTY, TOO_LONG = "empty_text", "too_long"
BLOCK = 16 << 20  # bytes of bundles that are unpacked at once, or one part if that is more


def pairs(kind: pa.DataType, threshold: float, most: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Bundles, all that have their parts -> the rows that lexical.found tells of. kind: of the ids."""
    for block in whole_groups(batches, "part", BLOCK):
        refused = [
            int(np.searchsorted(batch["part"].to_numpy(), REFUSED, side="right")) for batch in block
        ]  # it is the lowest part
        if any(refused):
            keyed = from_bundles([batch.slice(0, end) for batch, end in zip(block, refused, strict=True)], kind)
            yield refused_rows(keyed.id, keyed.level, keyed.tokens.sizes)
        others = [batch.slice(end) for batch, end in zip(block, refused, strict=True)]
        yield from of_block(from_bundles(others, kind), threshold, most)


def refused_rows(ids: pa.Array, level: np.ndarray, sizes: np.ndarray) -> pa.RecordBatch:
    """sizes: of the token sets of texts that can not be compared, 0 or too many."""
    return pair_rows.refused(ids, pa.array(level), pa.array([TOO_LONG if size else EMPTY for size in sizes], pa.string()))


def of_block(keyed: Keyed, threshold: float, most: int) -> Iterator[pa.RecordBatch]:
    """Keyed rows, all that have their keys -> the pairs among them."""
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
        rows = rows[by_priority(keyed.level[rows], keyed.id.take(pa.array(rows)), bucket)]
        members = keyed.take(rows)
        bounds = np.append(0, np.cumsum(sizes[chosen]))
        low, high, score, cut = compare(bounds, members.tokens, members.level == 0, threshold, most)
        if len(low):
            yield _once(pair_rows.pairs(members.id, pa.array(members.level), low, high, score, compare is _equal_sets, cut))


def _once(pairs: pa.RecordBatch) -> pa.RecordBatch:
    """Each pair once, which is found in every bucket that has both; cut, if any of its lists is cut there."""
    coded = pa.concat_arrays([pairs["low"], pairs["high"]]).dictionary_encode()
    low, high = coded.indices.to_numpy().astype(np.int64).reshape(2, -1)
    same = low * len(coded.dictionary) + high
    order = np.argsort(same, kind="stable")
    starts = np.flatnonzero(np.diff(same[order], prepend=-1))
    cut = np.logical_or.reduceat(pairs["cut"].to_numpy(zero_copy_only=False)[order], starts)
    once = pairs.take(pa.array(order[starts]))
    return once.set_column(once.schema.get_field_index("cut"), "cut", pa.array(cut))


def _equal_sets(
    starts: np.ndarray, tokens: TokenSets, decided: np.ndarray, threshold: float, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """bucket_pairs for set rows: each copy with the first of its bucket that has the same hash."""
    bucket, hashes = np.repeat(np.arange(len(starts) - 1), np.diff(starts)), tokens.values
    order = np.lexsort((hashes, bucket))  # stable: equal ones stay in priority order
    new = np.append(True, (np.diff(bucket[order]) != 0) | (hashes[order][1:] != hashes[order][:-1]))
    first = order[np.flatnonzero(new)[np.cumsum(new) - 1]]
    copies = ~new & ~decided[order]
    low, high = order[copies], first[copies]
    return low, high, np.ones(len(low)), np.zeros(len(low), np.bool_)
