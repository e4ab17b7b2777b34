"""Keys for a search that shares nothing with `exact`: sets meet under the rarest of their tokens, as plainly as it can be written."""

import numpy as np

from personahub.dedup.kernels.jaccard import partner_sizes
from personahub.dedup.kernels.sets import TokenSets


def rarest_keys(sets: TokenSets, threshold: float, frequent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(row int64, ascending; key uint64, a token): two sets within the threshold share a key, equal ones included.

    frequent: uint64 tokens, the rarest first; those that are not in it come before them, by hash. Two sets within the threshold have at
    least p of the tokens of either in common, where p is the least size of a partner; so in any one order of all tokens, the first token
    that they share is among the first |x| - p + 1 of x, and likewise of y.
    """
    sizes = sets.sizes
    different, which = np.unique(sizes, return_inverse=True)
    lengths = np.array([size - partner_sizes(int(size), threshold)[0] + 1 if size else 0 for size in different], np.int64)[which]
    rows = np.repeat(np.arange(len(sets)), sizes)
    values = sets.values[sets.offsets[0] : sets.offsets[-1]]
    order = np.lexsort((values, _ranks(values, frequent), rows))
    place = np.arange(len(values)) - np.repeat(sets.offsets[:-1] - sets.offsets[0], sizes)
    first = place < np.repeat(lengths, sizes)
    return rows[first], values[order[first]]


def _ranks(values: np.ndarray, frequent: np.ndarray) -> np.ndarray:
    """The place of each value in `frequent`, -1 where it is not in it."""
    if not len(frequent):
        return np.full(len(values), -1)
    by_hash = np.argsort(frequent)
    at = np.minimum(np.searchsorted(frequent, values, sorter=by_hash), len(frequent) - 1)
    return np.where(frequent[by_hash[at]] == values, by_hash[at], -1)
