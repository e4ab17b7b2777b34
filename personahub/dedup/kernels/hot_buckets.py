"""Splits a list of many rows into shorter ones: by the prefix filter, with the frequencies of the list's own tokens.

A key is a token, the size class of the row and that of its partners: the row is compared with rows of that class whose key for its own
class has the same token. The tokens that the rows of a template have in common are frequent among them and come last, so rows share only
tokens that few of them have.
"""

import math

import numpy as np

from personahub.dedup.kernels import compiled
from personahub.dedup.kernels.candidate_lists import Lists, concatenated, grouped, lists_of_runs
from personahub.dedup.kernels.prefix_filter import in_order, partners_below, plan, rank_table, rarest_first
from personahub.dedup.kernels.sets import TokenSets, take

_CLASS_BITS = 16
_CLASSES = 1 << _CLASS_BITS


def without_hot(sets: TokenSets, lists: Lists, threshold: float, hot: int) -> Lists:
    """Lists that an unequal pair within the threshold shares if it shared one before. Those of more than `hot` rows are split."""
    too_long = lists.lengths > hot
    if not too_long.any():
        return lists
    shorter = [lists_of_runs(lists.members, lists.starts, ~too_long)]
    for one in np.flatnonzero(too_long):
        shorter.append(_split(sets, lists.members[lists.starts[one] : lists.starts[one + 1]], threshold))
    return concatenated(shorter)


def _split(sets: TokenSets, rows: np.ndarray, threshold: float) -> Lists:
    within = take(sets, rows)
    largest = int(within.sizes.max())
    classes = size_classes(partners_below(largest, threshold), threshold)
    starts, partners, lengths = plan(classes, largest, threshold)
    room = np.diff(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])[starts])[within.sizes].sum()
    tokens, ranks = rank_table(rarest_first(within))
    at, keys = _keys(within.offsets, within.values, classes, starts, partners, lengths, tokens, ranks, room)
    return grouped(rows[at], keys, _counterpart)


def size_classes(count: int, threshold: float) -> np.ndarray:
    """int64, ascending: a class for each size below `count`; a class spans about a factor of sqrt(1 / threshold)."""
    classes = np.zeros(count, np.int64)
    if threshold < 1:
        classes[1:] = np.minimum(2 * np.log(np.arange(1, count)) / -math.log(threshold), _CLASSES - 1)
    return classes


def _counterpart(keys: np.ndarray) -> np.ndarray:
    """The keys with the class of the row and that of its partners exchanged."""
    tokens, classes, partners = keys >> 2 * _CLASS_BITS, keys >> _CLASS_BITS & _CLASSES - 1, keys & _CLASSES - 1
    return (tokens << _CLASS_BITS | partners) << _CLASS_BITS | classes


@compiled
def _keys(offsets, values, classes, starts, partners, lengths, tokens, ranks, room):
    """Rows and their keys, at most `room`. A token that only one of the rows has is not in the table, and makes none."""
    rows, keys, filled = np.empty(room, np.int64), np.empty(room, np.int64), 0
    rare, late = np.empty(len(starts), np.uint64), np.empty(len(starts), np.uint64)
    for row in range(len(offsets) - 1):
        size = offsets[row + 1] - offsets[row]
        longest = 0
        for rule in range(starts[size], starts[size + 1]):
            longest = max(longest, lengths[rule])
        count = in_order(values, offsets[row], offsets[row + 1], longest, tokens, ranks, rare, late)
        for rule in range(starts[size], starts[size + 1]):
            for i in range(count, lengths[rule]):
                rows[filled] = row
                keys[filled] = ((np.int64(late[i - count]) << _CLASS_BITS) + classes[size] << _CLASS_BITS) + partners[rule]
                filled += 1
    return rows[:filled], keys[:filled]
