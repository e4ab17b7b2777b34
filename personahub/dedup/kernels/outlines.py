"""Outlines of vectors: fewer numbers, whose products are never less than those of the vectors, so that what they rule out is ruled out.

Vectors of one cluster differ little along its centre and are short across it. What is left of a product when its first numbers are known
is at most the product of the lengths that are left (Cauchy and Schwarz), so that a part of the numbers tells apart most of them. What the
outlines propose is scored from the vectors: they change no result.
"""

import numpy as np

from personahub.dedup.kernels import compiled
from personahub.dedup.kernels.vectors import dot, error_bound

LOOKED_AT, STEPS = 64, 12  # vectors by which the width is chosen, and how many widths there are to choose from
WORTH = 256  # vectors: fewer are compared before their outlines would be drawn
FALSE = 25  # times what a whole product costs, one that proposes in vain does


def slack(dimension: int) -> float:
    """How much less than the true product one of outlines can be, by rounding; vectors of at most unit length."""
    return 3 * error_bound(dimension)


@compiled
def centre(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The mean direction of these rows: float32[d] of unit length, or zeros."""
    total = np.zeros(vectors.shape[1])
    for row in rows:
        for i in range(len(total)):
            total[i] += vectors[row, i]
    length = np.sqrt(np.sum(total * total))
    return (total / length if length else total).astype(np.float32)


def width(vectors: np.ndarray, rows: np.ndarray, squared: np.ndarray, axis: np.ndarray, threshold: float) -> int:
    """How many of the numbers make comparing these rows cheapest; all of them: no outline is cheaper than the vectors."""
    dimension = vectors.shape[1]
    if len(rows) < WORTH:
        return dimension
    few = rows[np.linspace(0, len(rows) - 1, LOOKED_AT).astype(np.int64)]
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
def outlines(vectors: np.ndarray, rows: np.ndarray, axis: np.ndarray, width: int) -> np.ndarray:
    """float32[m, width + 2] of m rows: the first `width` numbers across the axis, the length of the others, and what is along the axis."""
    out = np.empty((len(rows), width + 2), np.float32)
    for at in range(len(rows)):
        vector = vectors[rows[at]]
        along = np.float32(dot(vector, axis))
        for i in range(width):
            out[at, i] = vector[i] - along * axis[i]
        rest = vector[width:] - along * axis[width:]
        out[at, width] = np.sqrt(dot(rest, rest)) * 1.000001  # up, whatever the rounding
        out[at, width + 1] = along
    return out
