"""Greedy removal on row positions in priority order: a row is removed only where a kept row above it is within the threshold."""

import numpy as np

from personahub.dedup.kernels import compiled

KEPT, REMOVED, PENDING = 0, 1, 2


def decide(
    n: int, low: np.ndarray, high: np.ndarray, cut: np.ndarray, gone: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The verdicts on rows 0..n-1, which stand in priority order.

    low, high: int64, one entry a pair within the threshold, high < low; a pair may be there twice. cut: bool, there may be more rows
    within the threshold of `low` below this `high`, which nobody has looked for. gone: bool[n], rows that were removed before (none of
    them is a `low`).

    Returns duplicate_of int64[n], the highest kept row within the threshold (-1: none); state int8[n], KEPT, REMOVED, or PENDING where a
    cut or a pending row stands before the first kept one; and round int32[n], the round in which the verdict falls where in each round
    a row is removed if the first of its rows above that is left is kept, and kept if none is left (0: no verdict in here).
    """
    order = np.lexsort((high, low))
    starts = np.searchsorted(low[order], np.arange(n + 1))
    return _decide(starts, high[order], cut[order], np.zeros(n, np.bool_) if gone is None else gone)


@compiled
def _decide(starts, high, cut, gone):  # type: ignore[no-untyped-def]
    n = len(gone)
    duplicate_of = np.full(n, -1, np.int64)
    state = np.full(n, KEPT, np.int8)
    rounds = np.zeros(n, np.int32)
    for row in range(n):
        if gone[row]:
            state[row] = REMOVED
            continue
        before = 0  # the last round in which a row above was removed
        for pair in range(starts[row], starts[row + 1]):
            above = high[pair]
            if state[above] == KEPT:
                state[row] = REMOVED
                duplicate_of[row] = above
                rounds[row] = max(rounds[above], before + 1)
                break
            if state[above] == PENDING or cut[pair]:
                state[row] = PENDING
                break
            before = max(before, rounds[above])
        if state[row] == KEPT:
            rounds[row] = before + 1
    return duplicate_of, state, rounds
