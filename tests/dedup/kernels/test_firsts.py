"""The first vectors within a cosine, against a loop over all of them."""

import numpy as np
import pytest
from test_outlines import cluster

from personahub.dedup.kernels import firsts, vectors
from personahub.dedup.kernels.firsts import first_pairs


def plainly(low, high, threshold, most):
    unit = [rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True) for rows in (low, high)]
    near = unit[0] @ unit[1].T >= threshold
    return [(row, int(other)) for row in range(len(low)) for other in np.flatnonzero(near[row])[:most]]


@pytest.mark.parametrize("threshold", [0.5, 0.9, 0.97])
@pytest.mark.parametrize("most", [1, 2, 7])
@pytest.mark.parametrize("scores", [1, 900, 1 << 20])
def test_the_first_of_all_that_are_near(monkeypatch, threshold, most, scores):
    monkeypatch.setattr(firsts, "SCORES", scores)
    rows = cluster(230, 24, 3)
    low, high = rows[:90], rows[90:]
    row, other, score = first_pairs(low, high, vectors.squared_lengths(low), threshold, most)
    expected = plainly(low, high, threshold, most)
    assert list(zip(row.tolist(), other.tolist(), strict=True)) == expected
    assert expected
    assert score == pytest.approx([vectors.cosine(low[a], high[b], low[a] @ low[a], high[b] @ high[b]) for a, b in expected])


def test_where_there_is_nobody_nothing_is_near():
    rows = cluster(5, 24, 3)
    for low, high in ((rows[:0], rows), (rows, rows[:0]), (rows, -rows)):
        assert [len(column) for column in first_pairs(low, high, vectors.squared_lengths(low), 0.9, 2)] == [0, 0, 0]
