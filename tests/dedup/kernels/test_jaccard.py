"""Bounds that a threshold sets, against the comparison that defines it, for all pairs of sizes below 200."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personahub.dedup.kernels.jaccard import close_pairs, min_overlap, min_overlaps, partner_sizes
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
    assert all(min_overlap(x, y, threshold) == smallest[x - 1, y - 1] for x, y in np.ndindex(LARGEST, 19) if x * y)


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_partners_have_the_sizes_at_which_a_subset_or_superset_would_do(threshold):
    for size in range(1, LARGEST + 1):
        smallest, largest = partner_sizes(size, threshold)
        assert 1 <= smallest <= size <= largest
        assert within(smallest, size, smallest, threshold)
        assert smallest == 1 or not within(smallest - 1, size, smallest - 1, threshold)
        assert within(size, size, largest, threshold)
        assert not within(size, size, largest + 1, threshold)


def test_an_empty_set_has_no_partners():
    assert partner_sizes(0, 0.9) == (1, 0)


@pytest.mark.parametrize("threshold", [0.0, -0.5, 1.01, float("nan")])
def test_a_threshold_is_above_0_and_at_most_1(threshold):
    with pytest.raises(ValueError, match="threshold"):
        min_overlap(3, 4, threshold)


@settings(deadline=None)
@given(some_sets, some_sets, st.sampled_from([0.01, 0.5, 2 / 3, 1.0]))
def test_close_pairs_are_all_pairs_that_reach_the_threshold(left, right, threshold):
    row, other, score = close_pairs(packed(*left), packed(*right), threshold)
    both = [(i, j, len(x & y) / len(x | y)) for i, x in enumerate(left) for j, y in enumerate(right) if x & y]
    assert list(zip(row.tolist(), other.tolist(), score.tolist(), strict=True)) == [one for one in both if one[2] >= threshold]


def test_close_pairs_of_many_sets():
    assert len(close_pairs(packed(*[{1, 2}] * 60), packed(*[{2, 1}] * 60), 0.9)[0]) == 3600
