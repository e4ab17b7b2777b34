"""Outlines of vectors: fewer numbers, whose dot products are upper bounds of those of the vectors.

Vectors of one cluster differ little along its centre and are short across it. The rest of a dot product whose first terms are known is at
most the product of the lengths of the rests (Cauchy-Schwarz), so a part of the numbers rules out most pairs. The others are scored from the
vectors: outlines change no result.
"""

import numpy as np

from personahub.dedup.kernels import compiled
from personahub.dedup.kernels.vectors import dot, error_bound

SAMPLED, STEPS = 64, 12  # vectors by which the width is chosen, and the number of widths to choose from
MIN_ROWS = 256  # for fewer vectors outlines do not pay
FALSE = 25  # the cost of a pair that is proposed in vain, in whole dot products


def slack(dimension: int) -> float:
    """How much less than the true product that of outlines can be, by rounding; vectors of at most unit length."""
    return 3 * error_bound(dimension)


@compiled
def centre(vectors, rows):
    """The mean direction of these rows: float32[d] of unit length, or zeros."""
    total = np.zeros(vectors.shape[1])
    for row in rows:
        for i in range(len(total)):
            total[i] += vectors[row, i]
    length = np.sqrt(np.sum(total * total))
    return (total / length if length else total).astype(np.float32)


def width(vectors: np.ndarray, rows: np.ndarray, squared: np.ndarray, axis: np.ndarray, threshold: float) -> int:
    """The width of the outlines that make comparing these rows cheapest; the whole dimension: the vectors are cheaper."""
    dimension = vectors.shape[1]
    if len(rows) < MIN_ROWS:
        return dimension
    few = rows[np.linspace(0, len(rows) - 1, SAMPLED).astype(np.int64)]
    lengths = np.sqrt(squared[few])
    bound = threshold * np.outer(lengths, lengths)
    wanted = (vectors[few] @ vectors[few].T >= bound).mean()
    best, cheapest = dimension, 1.0
    for step in range(1, STEPS):
        tried = dimension * step // STEPS
        if tried + 2 >= cheapest * dimension:
            break
        drawn = outlines(vectors, few, axis, tried)
        cost = (tried + 2) / dimension + FALSE * float((drawn @ drawn.T >= bound).mean() - wanted)
        if cost < cheapest:
            best, cheapest = tried, cost
    return best


@compiled
def outlines(vectors, rows, axis, width):
    """float32[m, width + 2] of m rows: the first `width` numbers across the axis, the length of the others, and what is along the axis."""
    out = np.empty((len(rows), width + 2), np.float32)
    for at in range(len(rows)):
        vector = vectors[rows[at]]
        along = np.float32(dot(vector, axis))
        for i in range(width):
            out[at, i] = vector[i] - along * axis[i]
        rest = vector[width:] - along * axis[width:]
        out[at, width] = np.sqrt(dot(rest, rest)) * 1.000001  # an upper bound in spite of rounding
        out[at, width + 1] = along
    return out
