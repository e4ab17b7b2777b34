"""Bounds that a threshold sets, against the comparison that defines it, for all pairs of sizes below 200."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personahub.dedup.kernels.jaccard import close_pairs, min_overlaps
from personahub.dedup.kernels.sets import TokenSets

LARGEST = 199
AWKWARD = [0.1 + 0.2, 1 / 3, 2 / 3, 9 / 11, 0.7, 0.85, np.nextafter(0.9, 0), 0.9, np.nextafter(0.9, 1), 0.95, 0.99, 1.0]
THRESHOLDS = sorted({*AWKWARD, 0.01, *(hundredths / 100 for hundredths in range(30, 100, 5))})
some_sets = st.lists(st.sets(st.integers(0, 2**64 - 1) | st.integers(0, 12)), max_size=8)


def packed(*sets: set[int]) -> TokenSets:
    return TokenSets(np.cumsum([0, *map(len, sets)]), np.array([token for one in sets for token in sorted(one)], np.uint64))


def within(common, a, b, threshold):
    return common / (a + b - common) >= threshold


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_the_min_overlap_is_the_first_that_reaches_the_threshold(threshold):
    a, b = np.indices((LARGEST + 1, LARGEST + 1))[:, 1:, 1:]
    smallest = min_overlaps(2 * LARGEST, threshold)[a + b]
    assert (smallest >= 1).all()  # sets with nothing in common are never alike
    assert ((smallest > np.minimum(a, b)) | within(smallest, a, b, threshold)).all()
    assert not within(np.minimum(smallest - 1, np.minimum(a, b)), a, b, threshold).any()


@settings(deadline=None)
@given(some_sets, some_sets, st.sampled_from([0.01, 0.5, 2 / 3, 1.0]))
def test_close_pairs_are_all_pairs_that_reach_the_threshold(left, right, threshold):
    row, other, score = close_pairs(packed(*left), packed(*right), threshold)
    both = [(i, j, len(x & y) / len(x | y)) for i, x in enumerate(left) for j, y in enumerate(right) if x & y]
    assert list(zip(row.tolist(), other.tolist(), score.tolist(), strict=True)) == [one for one in both if one[2] >= threshold]


def test_close_pairs_of_many_sets():
    assert len(close_pairs(packed(*[{1, 2}] * 60), packed(*[{2, 1}] * 60), 0.9)[0]) == 3600
