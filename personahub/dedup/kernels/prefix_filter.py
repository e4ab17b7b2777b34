"""Prefix filter: sets that have much in common have a token in common among their first ones.

Chaudhuri, Ganti & Kaushik, "A primitive operator for similarity joins in data cleaning" (ICDE 2006). In any one order of all tokens: if two
sets x and y have at least o tokens in common, the first common one is among the first |x| - o + 1 of x and the first |y| - o + 1 of y. With
rare tokens first, few other sets share such a token.

The order here is that of the tokens' hashes; `in_order` puts the tokens of a table last.
"""

import math
from functools import lru_cache

import numpy as np

from personahub.dedup.kernels import compiled
from personahub.dedup.kernels.jaccard import min_overlaps
from personahub.dedup.kernels.sets import TokenSets
from personahub.dedup.kernels.tokenize import mix, sort_unique


def prefix_keys(sets: TokenSets, threshold: float, above: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows (int64, ascending) and their keys (uint64): unequal sets within the threshold whose sizes sum to more than `above` share one."""
    largest = 64
    while largest < sets.sizes.max(initial=0):
        largest *= 2  # so that a few plans serve all batches
    lengths = prefix_lengths(largest, threshold, above)[sets.sizes]
    rows = np.repeat(np.arange(len(sets)), lengths)
    place = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return rows, _mixed(sets.values[sets.offsets[rows] + place])


def rarest_first(sets: TokenSets) -> np.ndarray:
    """uint64: the tokens that more than one of the sets has, by the number of sets, then by hash."""
    tokens, counts = np.unique(sets.values[sets.offsets[0] : sets.offsets[-1]], return_counts=True)
    tokens, counts = tokens[counts > 1], counts[counts > 1]
    return tokens[np.argsort(counts, kind="stable")]


@lru_cache(maxsize=32)
def prefix_lengths(largest: int, threshold: float, above: int) -> np.ndarray:
    """int64, by size up to `largest`: the number of first tokens that a set needs for all of its partners."""
    starts, _, lengths = plan(np.zeros(partners_below(largest, threshold), np.int64), largest, threshold, above)
    needed = np.zeros(largest + 1, np.int64)
    needed[np.diff(starts) > 0] = lengths
    return needed


def partners_below(largest: int, threshold: float) -> int:
    """An upper bound, exclusive, on the sizes of all partners of sets of up to `largest` tokens."""
    return math.ceil(largest / threshold) + 3


def plan(classes: np.ndarray, largest: int, threshold: float, above: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(starts, partners, lengths): a set of size s needs lengths[i] first tokens for partners of class partners[i].

    i is in starts[s]:starts[s + 1]. classes: int64, by size, ascending, for all sizes below `partners_below`. Only pairs whose sizes sum to
    more than `above` count, and only those that can be unequal.
    """
    return _plan(classes, largest, threshold, above, min_overlaps(largest + len(classes), threshold))


@compiled
def _plan(classes, largest, threshold, above, needed):
    starts, filled = np.zeros(largest + 2, np.int64), 0
    room = np.int64((1 / threshold - threshold) * largest * (largest + 1) / 2) + 4 * largest
    partners, lengths = np.empty(room, np.int64), np.empty(room, np.int64)
    for size in range(1, largest + 1):
        for other in range(max(1, int(size * threshold) - 1), int(size / threshold) + 2):
            total = size + other
            spare = total - 2 * needed[total]
            if total <= above or spare < 1 or abs(size - other) > spare:
                continue
            if filled == starts[size] or partners[filled - 1] != classes[other]:
                partners[filled], lengths[filled] = classes[other], 0
                filled += 1
            lengths[filled - 1] = max(lengths[filled - 1], size - needed[total] + 1)
        starts[size + 1] = filled
    return starts, partners[:filled].copy(), lengths[:filled].copy()


@compiled
def rank_table(frequent):
    """A hash table with open addressing: tokens and their (first) rank in `frequent`; -1 is a free place."""
    places = 1
    while places < 2 * len(frequent) + 1:
        places *= 2
    tokens, ranks = np.zeros(places, np.uint64), np.full(places, -1, np.int64)
    for rank in range(len(frequent)):
        at = np.int64(frequent[rank]) & (places - 1)
        while ranks[at] >= 0 and tokens[at] != frequent[rank]:
            at = (at + 1) & (places - 1)
        if ranks[at] < 0:
            tokens[at] = frequent[rank]
            ranks[at] = rank
    return tokens, ranks


@compiled
def in_order(values, start, end, longest, tokens, ranks, rare, late):
    """Puts the first `longest` tokens of values[start:end] into `rare` and, where they are frequent, their ranks into `late`.

    Returns how many are in `rare`; late[0] is the rank of the one after them.
    """
    count, common = 0, 0
    for i in range(start, end):
        if count == longest:
            break  # hashes ascend in a set: those that are not frequent come in their order
        at = np.int64(values[i]) & (len(ranks) - 1)
        while ranks[at] >= 0 and tokens[at] != values[i]:
            at = (at + 1) & (len(ranks) - 1)
        if ranks[at] < 0:
            rare[count] = values[i]
            count += 1
        else:
            late[common] = ranks[at]
            common += 1
    if count < longest:
        sort_unique(late[:common])
    return count


@compiled
def _mixed(values):
    mixed = np.empty(len(values), np.uint64)
    for i in range(len(values)):
        mixed[i] = mix(values[i])
    return mixed
