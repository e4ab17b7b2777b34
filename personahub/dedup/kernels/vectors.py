"""Vectors of float32: read from Arrow and checked, and the one dot product that all scores use.

A vector is scaled by a power of two to a length from 0.5 to 1: no overflow is possible then, and no cosine changes, not even in its last
bit (parts of less than 2^-126 of the length may be lost).
"""

import math

import numpy as np
import pyarrow as pa

from personahub.dedup.kernels import compiled

FIT, MISSING, DIMENSION, NOT_FINITE, ZERO = range(5)


def from_arrow(column: pa.Array, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """Lists of float or double -> (float32[fit, dimension], int8[n]): the fit rows, scaled, and why the others are not.

    FIT; MISSING: null, or without numbers; DIMENSION: of another length than `dimension`; NOT_FINITE: a number is null, NaN, or infinite
    as float32; ZERO: all numbers are zero as float32.
    """
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    problems = np.where(lengths == 0, MISSING, np.where(lengths != dimension, DIMENSION, FIT)).astype(np.int8)
    fit = np.flatnonzero(problems == FIT)
    chosen = column if len(fit) == len(column) else column.take(pa.array(fit))
    with np.errstate(over="ignore"):  # a double too large for float32 is infinite: not finite, below
        values = chosen.flatten().to_numpy(zero_copy_only=False).astype(np.float32)  # null becomes NaN
    vectors = values.reshape(len(fit), dimension)
    problems[fit] = _scale(vectors)
    good = problems[fit] == FIT
    return vectors if good.all() else vectors[good], problems


def error_bound(dimension: int) -> float:
    """The largest error of the float32 dot product of two vectors of at most unit length, summed in any order."""
    return (dimension + 8) * 2.0**-24


@compiled
def dot(left, right):
    """float32 rows -> their dot product in float64, summed in this order on every machine.

    A product of two float32 is exact in float64, so that it makes no difference whether the processor fuses it with the sum.
    """
    whole = len(left) - len(left) % 4
    a = b = c = d = 0.0
    for i in range(0, whole, 4):
        a += np.float64(left[i]) * np.float64(right[i])
        b += np.float64(left[i + 1]) * np.float64(right[i + 1])
        c += np.float64(left[i + 2]) * np.float64(right[i + 2])
        d += np.float64(left[i + 3]) * np.float64(right[i + 3])
    for i in range(whole, len(left)):
        a += np.float64(left[i]) * np.float64(right[i])
    return (a + b) + (c + d)


@compiled
def squared_lengths(vectors):
    """float64[n]: the dot product of each row with itself."""
    out = np.empty(len(vectors))
    for row in range(len(vectors)):
        out[row] = dot(vectors[row], vectors[row])
    return out


@compiled
def cosine(left, right, left_squared, right_squared):
    """At most 1; exactly 1 for equal rows."""
    return min(1.0, dot(left, right) / np.sqrt(left_squared * right_squared))


@compiled
def _scale(vectors):
    """Scale each row in place -> int8: FIT, NOT_FINITE or ZERO."""
    problems = np.zeros(len(vectors), np.int8)
    for row in range(len(vectors)):
        squared = dot(vectors[row], vectors[row])
        if not np.isfinite(squared):
            problems[row] = NOT_FINITE
        elif squared == 0.0:
            problems[row] = ZERO
        else:
            _, exponent = math.frexp(math.sqrt(squared))
            if exponent != 0:
                vectors[row] *= np.float64(2.0) ** -exponent
    return problems
