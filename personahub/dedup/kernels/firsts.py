"""The first vectors of some within a cosine of others: blocks of float32 products propose, float64 in a fixed order decides and scores."""

import numpy as np

from personahub.dedup.kernels import compiled
from personahub.dedup.kernels.vectors import cosine, error_bound, squared_lengths

SCORES = 1 << 20  # products at once


def first_pairs(
    low: np.ndarray, high: np.ndarray, squared_low: np.ndarray, threshold: float, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each row of `low` the first `most` rows of `high` within the threshold -> (row of low, row of high, their cosine).

    low, high: float32[n, d] of `vectors.from_arrow`; squared_low: their `squared_lengths`. Of a row the pairs are in the order of `high`.
    """
    squared_high, slack = squared_lengths(high), np.float32(error_bound(low.shape[1]))
    count, step = np.zeros(len(low), np.int64), max(1, SCORES // max(1, len(low)))
    parts = []
    for begin in range(0, len(high), step):
        open_ = np.flatnonzero(count < most)
        if not len(open_):
            break
        scores = (low if len(open_) == len(low) else low[open_]) @ high[begin : begin + step].T
        parts.append(_firsts(scores, low, high, squared_low, squared_high, open_, begin, threshold, slack, most, count))
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    row, other, score = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(row, kind="stable")
    return row[order], other[order], score[order]


@compiled
def _firsts(
    scores: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    squared_low: np.ndarray,
    squared_high: np.ndarray,
    open_: np.ndarray,
    begin: int,
    threshold: float,
    slack: float,
    most: int,
    count: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs that these scores propose and float64 confirms; `count` is how many each row of `low` has."""
    bounds = np.empty(scores.shape[1], np.float32)
    for j in range(len(bounds)):
        bounds[j] = threshold * np.sqrt(squared_high[begin + j])
    room = 0
    for row in open_:
        room += most - count[row]
    row_of, high_of, score_of = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room)
    used = 0
    for i in range(len(open_)):
        row, line = open_[i], scores[i]
        length = np.float32(np.sqrt(squared_low[row]))
        proposed = np.int32(0)
        for j in range(len(line)):  # without a branch, so that it runs at the processor's width
            proposed += np.int32(line[j] >= bounds[j] * length - slack)
        if not proposed:
            continue
        for j in range(len(line)):
            if line[j] < bounds[j] * length - slack:
                continue
            exact = cosine(low[row], high[begin + j], squared_low[row], squared_high[begin + j])
            if exact < threshold:
                continue
            row_of[used], high_of[used], score_of[used] = row, begin + j, exact
            used += 1
            count[row] += 1
            if count[row] == most:
                break
    return row_of[:used], high_of[:used], score_of[:used]
