"""Which sets of a bucket are within a Jaccard threshold: exact; in about linear time where few are, bounded where all are."""

import numpy as np

from personahub.dedup.kernels import compiled
from personahub.dedup.kernels.candidate_lists import grouped, joined, runs, search
from personahub.dedup.kernels.hot_buckets import without_hot
from personahub.dedup.kernels.jaccard import check_threshold
from personahub.dedup.kernels.partenum import exact_keys, uses_prefixes
from personahub.dedup.kernels.prefix_filter import NO_TOKENS, rarest_first
from personahub.dedup.kernels.sets import TokenSets, set_keys
from personahub.dedup.kernels.tokenize import mix

MAX_PAIRS = 32  # matches of one row that are told
HOT = 500  # sets of a list that are compared each with each: from there on it is cheaper to split the list
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def bucket_pairs(
    starts: np.ndarray, sets: TokenSets, decided: np.ndarray, threshold: float, max_pairs: int = MAX_PAIRS
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For each row its first `most` matches above it in its bucket.

    starts: int64, bucket k is the rows starts[k]:starts[k + 1], in priority order. sets: the tokens of all rows. decided: bool,
    rows whose verdict stands: two of them are no pair. A row whose set is equal to that of an earlier row of its bucket is a
    copy: it is left out, as low and as high. An empty set matches nothing.

    Returns low, high int64, score float64 and cut bool, each pair once, by low and then high. cut stands on the last of `most`
    pairs of a row that has yet another match in its bucket, above it and below that pair; without it, the row's list is complete.
    ValueError where starts, sets and decided do not fit together.

    A bucket of more than HOT different sets is split by the tokens that are rare in it; what is found does not depend on that.
    """
    threshold, starts = check_threshold(threshold), np.array(starts, np.int64)
    if max_pairs < 1:
        raise ValueError(f"a row has a list of at least one match; max_pairs is {max_pairs}")
    if not (len(starts) and starts[0] == 0 and starts[-1] == len(sets) == len(decided) and (np.diff(starts) >= 0).all()):
        raise ValueError(f"buckets that do not cover {len(sets)} sets in order, or {len(decided)} marks of which are decided")
    original = _originals(sets.offsets, sets.values, starts)
    before = np.concatenate([[0], np.cumsum(original)])
    lists = runs(np.flatnonzero(original), before[starts])
    return search(sets, without_hot(sets, lists, threshold, HOT), decided, threshold, max_pairs)


def all_pairs(sets: TokenSets, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """low, high < low int64 and score float64 of every pair within the threshold, equal sets included, by low and then high."""
    threshold = check_threshold(threshold)
    frequent = rarest_first(sets) if uses_prefixes(int(sets.sizes.max(initial=0)), threshold) else NO_TOKENS
    rows, keys = exact_keys(sets, threshold, frequent)
    equal = grouped(np.arange(len(sets)), set_keys(sets)[:, 0])
    lists = joined([without_hot(sets, grouped(rows, keys), threshold, HOT), equal])
    low, high, score, _ = search(sets, lists, np.zeros(len(sets), np.bool_), threshold, len(sets))
    return low, high, score


@compiled
def _originals(offsets, values, starts):
    """bool, by row: no earlier row of the bucket has the same set. By a hash table for each bucket of two rows or more."""
    original = np.ones(len(offsets) - 1, np.bool_)
    longest = 0
    for bucket in range(len(starts) - 1):
        longest = max(longest, starts[bucket + 1] - starts[bucket])
    places = 1
    while places < 2 * longest:
        places *= 2
    table, digests = np.full(places, -1, np.int64), np.empty(len(original), np.uint64)
    for bucket in range(len(starts) - 1):
        length = starts[bucket + 1] - starts[bucket]
        if length < 2:
            continue
        mask = np.int64(1)
        while mask < 2 * length:
            mask *= 2
        mask -= 1
        for row in range(starts[bucket], starts[bucket + 1]):
            digest = np.uint64(offsets[row + 1] - offsets[row])
            for at in range(offsets[row], offsets[row + 1]):
                digest = (digest ^ values[at]) * _FACTOR
            digests[row] = mix(digest)
            at = np.int64(digests[row]) & mask
            while table[at] >= 0 and original[row]:
                if digests[table[at]] == digests[row] and _equal(offsets, values, table[at], row):
                    original[row] = False
                at = (at + 1) & mask
            if original[row]:
                table[at] = row
        table[: mask + 1] = -1
    return original


@compiled
def _equal(offsets, values, a, b):
    size = offsets[a + 1] - offsets[a]
    same = size == offsets[b + 1] - offsets[b]
    for i in range(size if same else 0):
        same &= values[offsets[a] + i] == values[offsets[b] + i]
    return same
