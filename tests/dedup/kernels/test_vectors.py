"""Vectors from Arrow: which are fit, and that scaling and packing change nothing that is compared."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personahub.dedup.kernels import vectors

TINY, HUGE = 1e-42, 3e38  # float32 has them, the first with few digits


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float64()), pa.large_list(pa.float32())])
def test_what_is_not_fit_is_told_apart(kind):
    nan, infinite = math.nan, math.inf
    lists = [[3, 4], None, [], [1, 2, 3], [nan, 1], [infinite, 1], [1, None], [0, -0.0], [HUGE, HUGE], [0, TINY]]
    expected = [0, 1, 1, 2, 3, 3, 3, 4, 0, 0]
    column = pa.array([[9, 9], *lists, [9, 9]], kind).slice(1, len(lists))
    fit, problems = vectors.from_arrow(column, 2)
    assert problems.tolist() == expected
    assert fit.dtype == np.float32
    assert fit[0].tolist() == [0.375, 0.5]
    lengths = np.linalg.norm(fit.astype(np.float64), axis=1)
    assert ((lengths >= 0.5) & (lengths < 1)).all()


def test_doubles_that_float32_can_not_hold_are_not_fit():
    assert vectors.from_arrow(pa.array([[1e300, 1.0], [1e-300, 0.0]]), 2)[1].tolist() == [vectors.NOT_FINITE, vectors.ZERO]


def test_nothing_comes_of_nothing():
    fit, problems = vectors.from_arrow(pa.array([], pa.list_(pa.float32())), 3)
    assert fit.shape == (0, 3)
    assert len(problems) == 0


numbers = st.floats(-(2.0**60), 2.0**60, width=32).map(lambda number: number if abs(number) > 1e-18 else 0.0)


@settings(deadline=None)  # the first call compiles
@given(st.integers(1, 21).flatmap(lambda size: st.lists(st.lists(numbers, min_size=size, max_size=size), min_size=2, max_size=2)))
def test_the_cosine_is_the_textbook_s_and_scaling_leaves_it_as_it_is_to_the_bit(pair):
    given_ = np.array(pair, np.float32)
    fit, problems = vectors.from_arrow(pa.array(pair, pa.list_(pa.float32())), given_.shape[1])
    if problems.any():
        return
    scaled, plain = ([each[0], each[1], *vectors.squared_lengths(each)] for each in (fit, given_))
    score = vectors.cosine(*scaled)
    assert score == vectors.cosine(*plain)
    left, right = given_.astype(object)
    product = math.fsum(a * b for a, b in zip(left, right, strict=True))
    assert score == pytest.approx(product / math.sqrt(math.fsum(left * left)) / math.sqrt(math.fsum(right * right)), abs=1e-14)
    assert vectors.cosine(fit[0], fit[0], scaled[2], scaled[2]) == 1.0


@pytest.mark.parametrize("dimension", [3, 384, 1536])
def test_float32_products_stay_within_their_bound(dimension):
    draw = np.random.default_rng(dimension)
    made = draw.standard_normal((200, dimension))
    made = (made / np.linalg.norm(made, axis=1, keepdims=True) * 0.9999).astype(np.float32)
    exact = made.astype(np.float64) @ made.T.astype(np.float64)
    assert np.abs(made @ made.T - exact).max() < vectors.error_bound(dimension) < 0.001
