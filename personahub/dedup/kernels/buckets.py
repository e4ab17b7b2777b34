"""The pairs of sets of a bucket within a Jaccard threshold: exact; in about linear time if few are, bounded if all are."""

import numpy as np

from personahub.dedup.kernels.candidate_lists import lists_of_runs, search
from personahub.dedup.kernels.hot_buckets import without_hot
from personahub.dedup.kernels.sets import TokenSets, set_keys

MAX_PAIRS = 32  # matches of one row
HOT = 500  # sets of a list that are compared each with each: longer lists are cheaper to split
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def bucket_pairs(
    starts: np.ndarray, sets: TokenSets, decided: np.ndarray, threshold: float, max_pairs: int = MAX_PAIRS
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For each row its first `max_pairs` earlier matches in its bucket.

    starts: int64, bucket k is the rows starts[k]:starts[k + 1], in priority order. sets: the tokens of all rows. decided: bool, rows
    decided before: two of them are no pair. A row with the set of an earlier row of its bucket is in no pair. An empty set matches nothing.

    Returns low, high < low int64, score float64 and truncated bool, each pair once, by low and then high. truncated: the last of
    `max_pairs` pairs of a row that has another match after it. ValueError where starts, sets and decided do not fit together.

    A bucket of more than HOT different sets is split by the tokens that are rare in it; the result does not depend on that.
    """
    starts = np.array(starts, np.int64)
    if max_pairs < 1:
        raise ValueError(f"a row has a list of at least one match; max_pairs is {max_pairs}")
    if not (len(starts) and starts[0] == 0 and starts[-1] == len(sets) == len(decided) and (np.diff(starts) >= 0).all()):
        raise ValueError(f"buckets that do not cover {len(sets)} sets in order, or {len(decided)} marks of which are decided")
    original = _originals(sets, starts)
    before = np.concatenate([[0], np.cumsum(original)])
    lists = lists_of_runs(np.flatnonzero(original), before[starts])
    return search(sets, without_hot(sets, lists, threshold, HOT), decided, threshold, max_pairs)


def _originals(sets: TokenSets, starts: np.ndarray) -> np.ndarray:
    """bool, by row: no earlier row of the bucket has the same set, by a hash of 128 bits."""
    keys = set_keys(sets)
    of_bucket = keys[:, 0] + np.repeat(np.arange(len(starts) - 1, dtype=np.uint64), np.diff(starts)) * _FACTOR
    order = np.lexsort((keys[:, 1], of_bucket))  # stable: the first of equal ones is the earliest
    first, second = of_bucket[order], keys[order, 1]
    original = np.ones(len(sets), np.bool_)
    original[order[1:][(first[1:] == first[:-1]) & (second[1:] == second[:-1])]] = False
    return original
