"""Outlines never rule out what the vectors would not, and are taken where they are worth it."""

import numpy as np
import pytest

from personahub.dedup.kernels import cosine, outlines, vectors


def cluster(count, dimension, seed, spread=0.6):
    """float32 rows about one direction, scaled as `vectors.from_arrow` leaves them; every fifth within a cosine of some 0.95 of another."""
    draw = np.random.default_rng(seed)
    rows = draw.standard_normal(dimension) / dimension**0.5 + spread * draw.standard_normal((count, dimension)) / dimension**0.5
    rows[::5] = rows[1] + 0.2 * rows[::5]
    rows *= draw.uniform(0.5, 1, (count, 1)) / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32)


@pytest.mark.parametrize("dimension", [2, 33, 384])
@pytest.mark.parametrize("spread", [0.0, 1e-4, 0.6, 20.0])
def test_a_product_of_outlines_is_no_less_than_that_of_the_vectors(dimension, spread):
    rows = cluster(80, dimension, 1, spread)
    rows[7] = -rows[8]
    true = rows.astype(np.float64) @ rows.T.astype(np.float64)
    everyone = np.arange(80)
    for axis in (outlines.centre(rows, everyone), np.zeros(dimension, np.float32), outlines.centre(rows, everyone[:1])):
        for width in (0, 1, dimension // 2, dimension - 1):
            drawn = outlines.outlines(rows, everyone, axis, width)
            assert drawn.shape == (80, width + 2)
            assert (drawn @ drawn.T >= true - outlines.slack(dimension)).all()


def test_a_large_cluster_is_outlined_and_few_rows_are_not():
    tight, alike = cluster(400, 384, 2), cluster(400, 384, 2, spread=0.33)
    squared, everyone = vectors.squared_lengths(tight), np.arange(400)
    axis = outlines.centre(tight, everyone)
    assert 64 <= outlines.width(tight, everyone, squared, axis, 0.9) <= 256
    assert outlines.width(tight, everyone[:255], squared, axis, 0.9) == 384
    of_alike = vectors.squared_lengths(alike), outlines.centre(alike, everyone)
    assert outlines.width(alike, everyone, *of_alike, 0.9) > 256  # any pair may be one


def test_outlines_change_no_pair(monkeypatch):
    rows = cluster(900, 384, 3)
    squared, position, decided = vectors.squared_lengths(rows), np.arange(900), np.arange(900) < 100
    given = (rows, squared, position, 600, decided, 0.9, 3)
    found = cosine.bucket(*given)
    home = position[:600]
    assert outlines.width(rows, home, squared, outlines.centre(rows, home), 0.9) < 384
    monkeypatch.setattr(outlines, "MIN_ROWS", 1000)
    expected = cosine.bucket(*given)
    assert len(expected[0]) > 100
    assert all((mine == plain).all() for mine, plain in zip(found, expected, strict=True))
