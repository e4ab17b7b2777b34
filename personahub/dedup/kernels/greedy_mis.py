"""Greedy removal on row positions in priority order: the lexicographically first maximal independent set.

Blelloch, Fineman & Shun, "Greedy sequential maximal independent set and matching are parallel on average" (SPAA 2012): the result is that
of the sequential loop, and few rounds of "a row with no undecided row before it is kept" give it. Lists may be truncated here, so a row
can also be left pending.
"""

import numpy as np

from personahub.dedup.kernels import compiled

KEPT, REMOVED, PENDING = 0, 1, 2


def decide(
    n: int, row: np.ndarray, earlier: np.ndarray, truncated: np.ndarray, removed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The decisions on rows 0..n-1, which are in priority order.

    row, earlier: int64, one entry a pair within the threshold, earlier < row; repeats are allowed. truncated: bool, pairs of `row` after
    this one may be missing. removed: bool[n], rows removed before, none of them in `row`.

    Returns duplicate_of int64[n], the first kept row within the threshold (-1: none); state int8[n], KEPT, REMOVED, or PENDING where a
    truncated pair or a pending row comes before the first kept one; and round int32[n], the round of the decision where in each round a
    row is removed if the first undecided row before it is kept, and kept if there is none (0: not decided here).
    """
    order = np.lexsort((earlier, row))
    starts = np.searchsorted(row[order], np.arange(n + 1))
    return _decide(starts, earlier[order], truncated[order], np.zeros(n, np.bool_) if removed is None else removed)


@compiled
def _decide(starts, earlier, truncated, removed):
    n = len(removed)
    duplicate_of, state, rounds = np.full(n, -1, np.int64), np.full(n, KEPT, np.int8), np.zeros(n, np.int32)
    for row in range(n):
        if removed[row]:
            state[row] = REMOVED
            continue
        last = 0  # the last round in which an earlier row was removed
        for pair in range(starts[row], starts[row + 1]):
            other = earlier[pair]
            if state[other] == KEPT:
                state[row] = REMOVED
                duplicate_of[row] = other
                rounds[row] = max(rounds[other], last + 1)
                break
            if state[other] == PENDING or truncated[pair]:
                state[row] = PENDING
                break
            last = max(last, rounds[other])
        if state[row] == KEPT:
            rounds[row] = last + 1
    return duplicate_of, state, rounds
