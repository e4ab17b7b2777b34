"""Lists of candidate rows, and the search for each row's matches in them.

A row can be in several lists, and a pair of rows can share several: it is compared once. The result depends only on which pairs share one.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from personahub.dedup.kernels import compiled
from personahub.dedup.kernels.jaccard import min_overlaps, overlap, quotients, with_double_room
from personahub.dedup.kernels.sets import TokenSets
from personahub.dedup.kernels.tokenize import mix, sort_unique

_WINDOW, _WIDEST = 64, 4096  # rows of a list that are compared before matches are counted: at first, and after some doublings


class Lists(NamedTuple):
    """List i is members[starts[i]:starts[i + 1]], rows in priority order. They are compared with those of list counterpart[i]."""

    members: np.ndarray
    starts: np.ndarray
    counterpart: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.starts)


def lists_of_runs(members: np.ndarray, starts: np.ndarray, wanted: np.ndarray | bool = True) -> Lists:
    """Each run members[starts[i]:starts[i + 1]] that is wanted and has two rows or more, as a list that faces itself."""
    lengths = np.diff(starts)
    kept = (lengths > 1) & wanted
    return Lists(members[np.repeat(kept, lengths)], _starts(lengths[kept]), np.arange(kept.sum()))


def grouped(rows: np.ndarray, keys: np.ndarray, counterpart: Callable[[np.ndarray], np.ndarray] | None = None) -> Lists:
    """One list for each key, compared with itself or with that of the key counterpart(key), which is its own inverse.

    rows: ascending among those of one key.
    """
    order = np.argsort(keys, kind="stable")
    rows, keys = rows[order], keys[order]
    starts = np.concatenate([[0], np.flatnonzero(keys[1:] != keys[:-1]) + 1, [len(keys)]])
    if counterpart is None or not len(keys):
        return lists_of_runs(rows, starts)
    lengths, keys = np.diff(starts), keys[starts[:-1]]
    wanted = counterpart(keys)
    faced = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    kept = (keys[faced] == wanted) & ((keys != wanted) | (lengths > 1))
    return Lists(rows[np.repeat(kept, lengths)], _starts(lengths[kept]), (np.cumsum(kept) - 1)[faced[kept]])


def concatenated(several: list[Lists]) -> Lists:
    """All these lists."""
    before = np.cumsum([0] + [len(lists.counterpart) for lists in several])
    return Lists(
        np.concatenate([lists.members for lists in several]),
        _starts(np.concatenate([lists.lengths for lists in several])),
        np.concatenate([lists.counterpart + first for lists, first in zip(several, before, strict=False)]),
    )


def _starts(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def search(
    sets: TokenSets, lists: Lists, decided: np.ndarray, threshold: float, max_pairs: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """low, high int64, score float64, truncated bool: for each row `low` its first `max_pairs` earlier matches `high`, all ascending.

    A match is in a list that the row is compared with, is within the threshold, and is not decided where the row is. truncated: the last of
    `max_pairs` matches if there is another one.
    """
    decided, sizes = np.array(decided, np.bool_), sets.sizes
    needed = min_overlaps(2 * int(sizes.max(initial=0)), threshold)
    first, begin, end = _places(*lists, decided)
    listed = np.flatnonzero(np.diff(first))
    bits = _parities(sets.offsets, sets.values, listed)
    found = _search(sets.offsets, sets.values, sizes, bits, decided, listed, lists.members, first, begin, end, needed, max_pairs)
    low, high, common, truncated = (np.ascontiguousarray(column) for column in found.T)
    return low, high, quotients(common, sizes[low] + sizes[high]), truncated.astype(np.bool_)


@compiled
def _places(members, starts, counterpart, decided):
    """By row r, for i in first[r]:first[r + 1]: members[begin[i]:end[i]] are the earlier rows of a list that it is compared with.

    Where the row is decided, the decided ones that the list begins with are left out: they may be a whole hub.
    """
    first = np.zeros(len(decided) + 1, np.int64)
    for row in members:
        first[row + 1] += 1
    for row in range(len(decided)):
        first[row + 1] += first[row]
    begin, end = np.empty(len(members), np.int64), np.empty(len(members), np.int64)
    free = first.copy()
    for one in range(len(counterpart)):
        top, bottom = starts[counterpart[one]], starts[counterpart[one] + 1]
        is_open, above = top, top
        for at in range(starts[one], starts[one + 1]):
            row = members[at]
            while above < bottom and members[above] < row:
                if is_open == above and decided[members[above]]:
                    is_open += 1
                above += 1
            begin[free[row]] = is_open if decided[row] else top
            end[free[row]] = above
            free[row] += 1
    return first, begin, end


@compiled
def _parities(offsets, values, listed):
    """uint64, by row, for those that are listed: the parity of the number of tokens that a hash sends to each of 64 bits.

    Two sets differ in at least as many tokens as these differ in bits (Sandes, Teodoro & Melo, "Bitmap filter", Information Systems 2020).
    """
    bits = np.zeros(len(offsets) - 1, np.uint64)
    for row in listed:
        for at in range(offsets[row], offsets[row + 1]):
            bits[row] ^= np.uint64(1) << (mix(values[at]) >> np.uint64(58))
    return bits


@compiled
def _ones(bits):
    """How many bits are set."""
    bits -= (bits >> np.uint64(1)) & np.uint64(0x5555555555555555)
    bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((bits * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled
def _search(offsets, values, sizes, bits, decided, listed, members, first, begin, end, needed, max_pairs):
    """int64 (pairs, 4): row, earlier match, tokens in common, and whether the row has more.

    For each row, window by window of its lists: the rows that sizes and parities do not exclude are sorted and compared token by token. If
    all match, only the first rows of a list are read; if few do, most are excluded unread.
    """
    found, filled = np.empty((1024, 4), np.int64), 0
    near = np.empty(_WIDEST, np.uint64)
    for row in listed:
        lists, matches, window, limit = first[row + 1] - first[row], 0, _WINDOW, -1
        while matches <= max_pairs and limit < row:
            limit = row
            for i in range(first[row], first[row + 1]):
                if end[i] - begin[i] > window:
                    limit = min(limit, members[begin[i] + window])
            if len(near) < lists * window:
                near = np.empty(2 * lists * window, np.uint64)
            count = 0
            for i in range(first[row], first[row + 1]):
                while begin[i] < end[i] and members[begin[i]] < limit:
                    other = members[begin[i]]
                    begin[i] += 1
                    total = sizes[row] + sizes[other]
                    spare = total - 2 * needed[total]
                    near[count] = other
                    fits = abs(sizes[row] - sizes[other]) <= spare and _ones(bits[row] ^ bits[other]) <= spare
                    count += fits and not (decided[row] and decided[other])
            if lists > 1:
                count = sort_unique(near[:count])
            for i in range(count):
                other = np.int64(near[i])
                needed_here = needed[sizes[row] + sizes[other]]
                common = overlap(values, offsets[row], offsets[row + 1], offsets[other], offsets[other + 1], needed_here)
                if common < 0:
                    continue
                matches += 1
                if matches > max_pairs:
                    found[filled - 1, 3] = 1
                    break
                if filled == len(found):
                    found = with_double_room(found)
                found[filled, 0], found[filled, 1], found[filled, 2], found[filled, 3] = row, other, common, 0
                filled += 1
            window = min(2 * window, _WIDEST)
    return found[:filled]
