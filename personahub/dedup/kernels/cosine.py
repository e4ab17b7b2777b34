"""Pairs of vectors within a cosine: blocks of float32 products propose, float64 in a fixed order decides and scores."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from personahub.dedup.kernels import compiled, outlines
from personahub.dedup.kernels.vectors import cosine, error_bound, squared_lengths

LOWS = 512  # rows of a block of scores
FIRST, LARGEST = 512, 1024  # its columns, at first and later
STRIDE = 256  # scores that are scanned at once

# low int64: a row, high int64: an earlier row, score float64, truncated bool: pairs of `low` after this one were not searched
Pairs = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def cosine_pairs(
    vectors: np.ndarray,
    row: np.ndarray,
    cluster: np.ndarray,
    home: np.ndarray,
    decided: np.ndarray,
    threshold: float,
    max_pairs: int,
) -> Pairs:
    """Rows in priority order, and the clusters that each is compared in -> Pairs by low and high, no pair twice.

    vectors: float32[n, d] of `vectors.from_arrow`; decided: bool[n], the first rows or none. row, cluster, home: one entry a visit, by
    row: the position of the row, the cluster, and whether it is the row's home. See `bucket` (which rows) and `merged` (the lists).
    """
    order = np.argsort(2 * cluster + ~home, kind="stable")
    row, home, cluster = row[order], home[order], cluster[order]
    ends = np.append(np.flatnonzero(np.diff(cluster, prepend=-1)), len(cluster)).tolist()
    squared, parts = squared_lengths(vectors), []
    for begin, end in pairwise(ends):
        rows, homes = row[begin:end], int(home[begin:end].sum())
        if homes:
            parts.append(bucket(vectors, squared, rows, homes, decided, threshold, max_pairs))
    return merged(*concatenated(parts), max_pairs)


def bucket(
    vectors: np.ndarray, squared: np.ndarray, rows: np.ndarray, homes: int, decided: np.ndarray, threshold: float, max_pairs: int
) -> Pairs:
    """The rows of one cluster -> lists of pairs for `merged`.

    vectors: float32[n, d] of `vectors.from_arrow` in priority order, squared: their `squared_lengths`, decided: bool[n]; rows: int64[m],
    the members of the cluster. The first `homes` of these have their home in it; they and the others, the guests, ascend each.

    Two rows are compared if one has its home here and the later one is not decided. Each low has one list of homes and one of guests: its
    first `max_pairs` earlier matches; truncated if rows were left to compare then. score: the cosine, at least `threshold`. Memory: blocks
    of a fixed size, the matrix that is multiplied (`_shown`), and the pairs.
    """
    shown, slack = _shown(vectors, squared, rows, homes, threshold)
    home, guests = _Side(shown[:homes], rows[:homes]), _Side(shown[homes:], rows[homes:])
    decided = decided[rows]
    search = _Search(vectors, squared, threshold, max_pairs, np.float32(slack))
    # how many rows of the other side come before each row, and how many of them its list holds: `max_pairs` if it is full or not wanted
    above, guests_above = np.arange(homes), np.searchsorted(guests.rows, home.rows)
    homes_above = np.searchsorted(home.rows, guests.rows)
    of_homes, of_guests = np.where(decided[:homes], max_pairs, 0), np.where(decided[:homes], max_pairs, 0)
    of_visited, full, full_guests = (
        np.where(decided[homes:], max_pairs, 0),
        np.full(homes, max_pairs),
        np.full(len(rows) - homes, max_pairs),
    )
    for start in range(0, homes, LOWS):
        block = np.arange(start, min(start + LOWS, homes))
        for columns in _widening(len(block) + start):
            lows = block[(of_homes[block] < max_pairs) & (above[block] > columns[0])]
            if not len(lows):
                break
            search.block(home, home, lows, columns, above, above, of_homes, full)
        for columns in _widening(len(guests.rows)):
            lows = block[(of_guests[block] < max_pairs) & (guests_above[block] > columns[0])]
            visitors = columns[(of_visited[columns] < max_pairs) & (homes_above[columns] > start)]
            if 2 * len(visitors) >= len(columns):  # both ways at once
                search.block(home, guests, block, columns, guests_above, homes_above, of_guests, of_visited)
                continue
            if len(lows):
                search.block(home, guests, lows, columns, guests_above, homes_above, of_guests, full_guests)
            if len(visitors):
                search.block(home, guests, block, visitors, guests_above, homes_above, full, of_visited)
    return concatenated(search.parts)


def merged(low: np.ndarray, high: np.ndarray, score: np.ndarray, truncated: np.ndarray, max_pairs: int) -> Pairs:
    """Several lists of a row as one, without repeats: up to the first truncated pair, or `max_pairs` pairs, truncated if there are more.

    A list says nothing about what comes after a truncated pair, so later pairs of other lists decide nothing.
    """
    order = np.lexsort((~truncated, high, low))  # of two equal pairs, the truncated one comes first
    low, high, score, truncated = low[order], high[order], score[order], truncated[order]
    new = np.ones(len(low), np.bool_)
    new[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    low, high, score, truncated = low[new], high[new], score[new], truncated[new]
    keep, truncated = _shortened(low, truncated, max_pairs)
    return low[keep], high[keep], score[keep], truncated[keep]


def concatenated(parts: list[Pairs]) -> Pairs:
    """One after the other."""
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0, np.bool_)
    low, high, score, truncated = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return low, high, score, truncated


def _shown(vectors: np.ndarray, squared: np.ndarray, rows: np.ndarray, homes: int, threshold: float) -> tuple[np.ndarray, float]:
    """(matrix used for the dot products of the rows, upper bound on their error)."""
    axis = outlines.centre(vectors, rows[:homes])
    width = outlines.width(vectors, rows[:homes], squared, axis, threshold)
    if width == vectors.shape[1]:
        return vectors[rows], error_bound(width)
    return outlines.outlines(vectors, rows, axis, width), outlines.slack(vectors.shape[1])


@dataclass
class _Side:
    """The homes, or the guests. shown: see `_shown`."""

    shown: np.ndarray
    rows: np.ndarray


class _Search:
    """Compares blocks of rows and keeps the pairs."""

    def __init__(self, vectors: np.ndarray, squared: np.ndarray, threshold: float, max_pairs: int, slack: np.float32) -> None:
        self.vectors, self.squared = vectors, squared
        self.threshold, self.max_pairs, self.slack = threshold, max_pairs, slack
        self.parts: list[Pairs] = []
        self._scores = np.empty(LOWS * LARGEST, np.float32)

    def block(self, left: _Side, right: _Side, rows, columns, right_above, left_above, left_count, right_count) -> None:
        """Rows of `left` against rows, ascending, of `right`: each pair goes to the list of the later one, if that is not full."""
        scores = self._scores[: len(rows) * len(columns)].reshape(len(rows), len(columns))
        np.matmul(_taken(left.shown, rows), _taken(right.shown, columns).T, out=scores)
        room = min((len(rows) + len(columns)) * self.max_pairs, scores.size)
        low, high, score, truncated = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room), np.empty(room, np.bool_)
        used = _collect(
            *(scores, rows, columns, right_above, left_above, left_count, right_count),
            *(self.vectors, self.squared, left.rows, right.rows),
            *(self.threshold, self.slack, self.max_pairs, low, high, score, truncated),
        )
        if used:
            self.parts.append((low[:used].copy(), high[:used].copy(), score[:used].copy(), truncated[:used].copy()))


def _widening(count: int) -> Iterator[np.ndarray]:
    """range(count) in blocks, small ones first: in a family of similar vectors few rows are enough."""
    begin, width = 0, FIRST
    while begin < count:
        yield np.arange(begin, min(begin + width, count))
        begin, width = begin + width, min(2 * width, LARGEST)


def _taken(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A view, where the rows are consecutive."""
    return vectors[rows[0] : rows[-1] + 1] if rows[-1] - rows[0] + 1 == len(rows) else vectors[rows]


@compiled
def _collect(
    scores,
    rows,
    columns,
    right_above,
    left_above,
    left_count,
    right_count,
    vectors,
    squared,
    left_rows,
    right_rows,
    threshold,
    slack,
    max_pairs,
    low,
    high,
    score,
    truncated,
):
    """Fills low, high, score, truncated with the pairs that float32 scores propose and float64 confirms; returns their number."""
    used = 0
    bounds = np.empty(len(columns), np.float32)
    for j in range(len(columns)):
        bounds[j] = threshold * np.sqrt(squared[right_rows[columns[j]]])
    for i in range(len(rows)):
        row = rows[i]
        length = np.float32(np.sqrt(squared[left_rows[row]]))
        for first in range(0, len(columns), STRIDE):
            line, bound = scores[i, first : first + STRIDE], bounds[first : first + STRIDE]
            proposed = np.int32(0)
            for j in range(len(line)):  # without a branch, so that it runs at the processor's width
                proposed += np.int32(line[j] >= bound[j] * length - slack)
            if not proposed:
                continue
            for j in range(len(line)):
                if line[j] < bound[j] * length - slack:
                    continue
                column = columns[first + j]
                is_low = column < right_above[row]  # else the column is
                if (left_count[row] if is_low else right_count[column]) >= max_pairs:
                    continue
                a, b = left_rows[row], right_rows[column]
                exact = cosine(vectors[a], vectors[b], squared[a], squared[b])
                if exact < threshold:
                    continue
                if is_low:
                    left_count[row] += 1
                    low[used], high[used] = a, b
                    truncated[used] = left_count[row] == max_pairs and column + 1 < right_above[row]
                else:
                    right_count[column] += 1
                    low[used], high[used] = b, a
                    truncated[used] = right_count[column] == max_pairs and row + 1 < left_above[column]
                score[used] = exact
                used += 1
    return used


@compiled
def _shortened(low, truncated, max_pairs):
    """The pairs of each row's list to keep, bool, and where these are truncated, bool."""
    keep, ends = np.zeros(len(low), np.bool_), truncated.copy()
    kept, done = 0, False
    for i in range(len(low)):
        if i == 0 or low[i] != low[i - 1]:
            kept, done = 0, False
        if done:
            continue
        keep[i] = True
        kept += 1
        if kept == max_pairs and i + 1 < len(low) and low[i + 1] == low[i]:
            ends[i] = True
        done = ends[i]
    return keep, ends
