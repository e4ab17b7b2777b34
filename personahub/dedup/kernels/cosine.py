"""Pairs of vectors within a cosine: blocks of float32 products propose, float64 in a fixed order decides and scores."""

from itertools import pairwise

import numpy as np

from personahub.dedup.kernels import compiled
from personahub.dedup.kernels.vectors import cosine, error_bound, squared_lengths

LOWS = 256  # rows that look for matches at once
FIRST, LARGEST = 256, 1024  # rows that they are held against: few at first, for in a family of similar vectors these are enough
STRIDE = 256  # scores that are looked over at once

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # low int64, high int64, score float64, cut bool


def cosine_pairs(
    vectors: np.ndarray,
    row: np.ndarray,
    cluster: np.ndarray,
    home: np.ndarray,
    decided: np.ndarray,
    threshold: float,
    most: int,
) -> Pairs:
    """Rows in priority order, and the clusters that each is compared in -> (low, high, score, cut) by low and high, no pair twice.

    vectors: float32[n, d] of `vectors.from_arrow`; decided: bool[n], the first rows or none. row, cluster, home: one entry a visit: the
    position of the row, the cluster, and whether it is the row's home. See `bucket` for who is compared, and `merged` for the lists.
    """
    order = np.lexsort((row, ~home, cluster))
    row, home, cluster = row[order], home[order], cluster[order]
    ends = np.append(np.flatnonzero(np.diff(cluster, prepend=-1)), len(cluster)).tolist()
    squared, parts = squared_lengths(vectors), []
    for begin, end in pairwise(ends):
        rows, homes = row[begin:end], int(home[begin:end].sum())
        if homes:
            parts.append(bucket(vectors[rows], squared[rows], rows, homes, decided[rows], threshold, most))
    return merged(*joined(parts), most)


def bucket(
    vectors: np.ndarray, squared: np.ndarray, position: np.ndarray, homes: int, decided: np.ndarray, threshold: float, most: int
) -> Pairs:
    """The rows of one cluster -> lists of pairs, as positions, for `merged`.

    vectors: float32[m, d] of `vectors.from_arrow`, squared: their `squared_lengths`; position: int64[m], of each row in priority order. The
    first `homes` rows are at home; these and the others stand in priority order each, and decided ones, bool[m], before those that are not.

    Two rows are compared if one of them is at home and the lower one is not decided. Each low has one list for the rows at home and one for
    the others: its first `most` matches above it. cut: `most` were found, and rows were left to look at. score: the cosine, at least
    `threshold`. Memory: blocks of a fixed size.
    """
    home, guests = slice(0, homes), slice(homes, len(vectors))
    room = np.empty(LOWS * LARGEST, np.float32)
    parts = []
    for lows, highs in ((home, home), (home, guests), (guests, home)):
        low = slice(lows.start + int(decided[lows].sum()), lows.stop)
        if low.start < low.stop and highs.start < highs.stop:
            parts += _search(vectors, squared, position, low, highs, threshold, most, room)
    return joined(parts)


def merged(low: np.ndarray, high: np.ndarray, score: np.ndarray, cut: np.ndarray, most: int) -> Pairs:
    """Several lists a row as one, by row and high, without repeats: up to the first cut, or `most` pairs and cut there if more come.

    What a list says ends at its first cut, so what comes after it in another list decides nothing.
    """
    order = np.lexsort((~cut, high, low))  # of two equal pairs, the one that is cut comes first
    low, high, score, cut = low[order], high[order], score[order], cut[order]
    new = np.ones(len(low), np.bool_)
    new[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    low, high, score, cut = low[new], high[new], score[new], cut[new]
    keep, cut = _shortened(low, cut, most)
    return low[keep], high[keep], score[keep], cut[keep]


def all_pairs(
    left: np.ndarray, right: np.ndarray, right_squared: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row of left, row of right, score) of all pairs within `threshold`; right_squared: `squared_lengths` of right."""
    squared = squared_lengths(left)
    bounds = threshold * np.sqrt(squared)[:, None] * np.sqrt(right_squared) - error_bound(left.shape[1])
    row, other = np.nonzero(left @ right.T >= bounds)
    score = _scores(left, right, squared, right_squared, row, other)
    reach = score >= threshold
    return row[reach], other[reach], score[reach]


def joined(parts: list[Pairs]) -> Pairs:
    """One after the other."""
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0, np.bool_)
    low, high, score, cut = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return low, high, score, cut


def _search(
    vectors: np.ndarray,
    squared: np.ndarray,
    position: np.ndarray,
    lows: slice,
    highs: slice,
    threshold: float,
    most: int,
    room: np.ndarray,
) -> list[Pairs]:
    """Each of `lows` against those of `highs` above it. room: for LOWS x LARGEST scores."""
    high_vectors, high_squared, high_position = vectors[highs], squared[highs], position[highs]
    slack = np.float32(error_bound(vectors.shape[1]))
    parts = []
    for start in range(lows.start, lows.stop, LOWS):
        block = slice(start, min(start + LOWS, lows.stop))
        low_vectors, low_position = vectors[block], position[block]
        limit = np.searchsorted(high_position, low_position)  # how many of highs are above each
        size = len(low_position)
        high, score = np.empty((size, most), np.int64), np.empty((size, most))
        count, cut = np.zeros(size, np.int64), np.zeros(size, np.bool_)
        active, begin, width = np.flatnonzero(limit), 0, FIRST
        while len(active):
            end = min(begin + width, int(limit[active[-1]]))
            scores = room[: len(active) * (end - begin)].reshape(len(active), end - begin)
            asking = low_vectors if len(active) == size else low_vectors[active]
            np.matmul(asking, high_vectors[begin:end].T, out=scores)
            _collect(
                *(scores, active, begin, limit, low_vectors, squared[block], high_vectors, high_squared),
                *(threshold, slack, high, score, count, cut),
            )
            begin, width = end, min(2 * width, LARGEST)
            active = active[(count[active] < most) & (limit[active] > begin)]
        if count.any():
            filled = np.arange(most) < count[:, None]
            last = np.arange(most) == count[:, None] - 1
            parts.append(
                (np.repeat(low_position, count), high_position[high[filled]], score[filled], (last & cut[:, None])[filled])
            )
    return parts


@compiled
def _collect(
    scores: np.ndarray,
    active: np.ndarray,
    begin: int,
    limit: np.ndarray,
    low_vectors: np.ndarray,
    low_squared: np.ndarray,
    high_vectors: np.ndarray,
    high_squared: np.ndarray,
    threshold: float,
    slack: float,
    high: np.ndarray,
    score: np.ndarray,
    count: np.ndarray,
    cut: np.ndarray,
) -> None:
    """Add to the lists of the active lows what their float32 scores against high_vectors[begin:] propose and float64 confirms."""
    most = high.shape[1]
    bounds = np.empty(scores.shape[1], np.float32)
    for column in range(len(bounds)):
        bounds[column] = threshold * np.sqrt(high_squared[begin + column])
    for place in range(len(active)):
        low = active[place]
        length = np.float32(np.sqrt(low_squared[low]))
        width = min(scores.shape[1], limit[low] - begin)
        for first in range(0, width, STRIDE):
            line, least = scores[place, first : min(first + STRIDE, width)], bounds[first:]
            proposed = np.int32(0)
            for i in range(len(line)):  # without a branch, so that it runs at the processor's width
                proposed += np.int32(line[i] >= least[i] * length - slack)
            if not proposed:
                continue
            for i in range(len(line)):
                if line[i] < least[i] * length - slack:
                    continue
                row = begin + first + i
                exact = cosine(low_vectors[low], high_vectors[row], low_squared[low], high_squared[row])
                if exact >= threshold:
                    high[low, count[low]] = row
                    score[low, count[low]] = exact
                    count[low] += 1
                    if count[low] == most:
                        cut[low] = row + 1 < limit[low]
                        break
            if count[low] == most:
                break


@compiled
def _scores(
    left: np.ndarray, right: np.ndarray, left_squared: np.ndarray, right_squared: np.ndarray, row: np.ndarray, other: np.ndarray
) -> np.ndarray:
    out = np.empty(len(row))
    for i in range(len(row)):
        a, b = row[i], other[i]
        out[i] = cosine(left[a], right[b], left_squared[a], right_squared[b])
    return out


@compiled
def _shortened(low: np.ndarray, cut: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Which pairs of each row's list to keep, and the new cuts."""
    keep, ends = np.zeros(len(low), np.bool_), cut.copy()
    kept, done = 0, False
    for i in range(len(low)):
        if i == 0 or low[i] != low[i - 1]:
            kept, done = 0, False
        if done:
            continue
        keep[i] = True
        kept += 1
        if kept == most and i + 1 < len(low) and low[i + 1] == low[i]:
            ends[i] = True
        done = ends[i]
    return keep, ends
