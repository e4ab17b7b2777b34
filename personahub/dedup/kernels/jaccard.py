"""Jaccard similarity of token sets, and what a threshold on it means for sizes and overlaps.

The similarity of two sets with o tokens in common is the float64 quotient o / (|x| + |y| - o), and two sets are within a threshold when
that quotient is >= the threshold. Every bound here is computed by rounding and then corrected by this very comparison, so that none
contradicts it. Division of whole numbers is monotone in float64, which makes the bounds exact.
"""

import numpy as np

from personahub.dedup.kernels import compiled
from personahub.dedup.kernels.sets import TokenSets


@compiled
def min_overlaps(largest, threshold):
    """int64[largest + 1]: by the sum |x| + |y|, the smallest number of common tokens that reaches the threshold.

    If it is more than the smaller size, no two sets of these sizes reach the threshold.
    """
    needed = np.ones(largest + 1, np.int64)
    for total in range(1, largest + 1):
        common = max(1, int(threshold * total / (1.0 + threshold)) - 1)  # too low, however it is rounded
        while common < total and common / (total - common) < threshold:
            common += 1
        needed[total] = common
    return needed


@compiled
def overlap(values, left, left_end, right, right_end, needed):
    """The number of tokens that values[left:left_end] and values[right:right_end], ascending, have in common; -1 if fewer than `needed`.

    Stops as soon as `needed` is out of reach.
    """
    left_spare = left_end - left - needed
    right_spare = right_end - right - needed
    common = 0
    while left_spare >= 0 and right_spare >= 0 and left < left_end and right < right_end:
        if values[left] == values[right]:
            common += 1
            left += 1
            right += 1
        elif values[left] < values[right]:
            left += 1
            left_spare -= 1
        else:
            right += 1
            right_spare -= 1
    return common if common >= needed else -1


def close_pairs(sets: TokenSets, others: TokenSets, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row of sets, row of others, score) of all pairs within the threshold, equal sets included, by counting common tokens.

    For a few others: only sets with too few tokens of any other are passed over.
    """
    values = others.values[others.offsets[0] : others.offsets[-1]]
    order = np.argsort(values, kind="stable")
    tokens, starts = np.unique(values[order], return_index=True)
    owners = np.repeat(np.arange(len(others)), others.sizes)[order]
    found = _close_pairs(sets.offsets, sets.values, tokens, np.append(starts, len(owners)), owners, others.sizes, threshold)
    row, other, common, total = (np.ascontiguousarray(column) for column in found.T)
    return row, other, quotients(common, total)


@compiled
def _close_pairs(offsets, values, tokens, starts, owners, sizes, threshold):
    """int64 (pairs, 4): row, other row, tokens in common, tokens in both. owners[starts[i]:starts[i + 1]]: the others with tokens[i]."""
    found, filled, common = np.empty((1024, 4), np.int64), 0, np.zeros(len(sizes), np.int64)
    places = np.empty(len(tokens), np.int64)
    for row in range(len(offsets) - 1):
        size, hits = offsets[row + 1] - offsets[row], 0
        for token in values[offsets[row] : offsets[row + 1]]:
            at = np.searchsorted(tokens, token)
            if at < len(tokens) and tokens[at] == token:
                places[hits] = at
                hits += 1
        min_common = max(1, np.int64(threshold * size - 1e-6))  # common tokens: the union has at least `size`
        if hits < min_common:
            continue
        for place in places[:hits]:
            for i in range(starts[place], starts[place + 1]):
                common[owners[i]] += 1
        for other in range(len(sizes)):
            shared = common[other]
            common[other] = 0
            if shared < min_common:
                continue
            total = size + sizes[other]
            if shared / (total - shared) >= threshold:
                if filled == len(found):
                    found = with_double_room(found)
                found[filled, 0], found[filled, 1], found[filled, 2], found[filled, 3] = row, other, shared, total
                filled += 1
    return found[:filled]


@compiled
def with_double_room(found):
    """The same rows of four columns, with room for as many more."""
    room = np.empty((2 * len(found), 4), np.int64)
    for i in range(len(found)):  # a slice would do, and compile for seconds
        for column in range(4):
            room[i, column] = found[i, column]
    return room


def quotients(common: np.ndarray, total: np.ndarray) -> np.ndarray:
    """float64: the similarity of sets with so many common tokens and so many tokens in all, |x| + |y|."""
    return common / np.maximum(total - common, 1)
