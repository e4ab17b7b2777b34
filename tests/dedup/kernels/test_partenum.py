"""Any two unequal sets within the threshold share a key: by the arithmetic of sizes, and on sets."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personahub.dedup.kernels.jaccard import min_overlaps
from personahub.dedup.kernels.partenum import PARTS_FROM, PARTS_UP_TO, exact_keys, levels
from personahub.dedup.kernels.prefix_filter import prefix_lengths
from personahub.dedup.kernels.sets import TokenSets

LARGEST = 199
THRESHOLDS = [0.3, 1 / 3, 0.5, 0.7, 0.8, 0.84, 0.85, 0.86, 0.88, np.nextafter(0.9, 0), 0.9, np.nextafter(0.9, 1), 0.95, 0.99, 1.0]


def packed(*sets: set[int]) -> TokenSets:
    return TokenSets(np.cumsum([0, *map(len, sets)]), np.array([token for one in sets for token in sorted(one)], np.uint64))


def keys_of(sets: list[set[int]], threshold: float) -> list[set[int]]:
    row, key = exact_keys(packed(*sets), threshold)
    assert (np.diff(row) >= 0).all()
    return [set(key[row == one].tolist()) for one in range(len(sets))]


def alike(one: set[int], other: set[int], threshold: float) -> bool:
    return one != other and len(one & other) / len(one | other) >= threshold


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_both_sizes_of_a_pair_use_a_rule_that_is_safe_for_it(threshold):
    with_parts = threshold >= PARTS_FROM
    lengths, needed = prefix_lengths(256, threshold, PARTS_UP_TO if with_parts else 0), min_overlaps(2 * LARGEST, threshold)
    for a in range(1, LARGEST + 1):
        for b in range(a, LARGEST + 1):
            least = int(needed[a + b])
            differences = a + b - 2 * least
            if least > a or differences == 0:
                continue  # never within the threshold, or only if equal
            if with_parts and a + b <= PARTS_UP_TO:
                # one part more than there can be differences: one is without any
                assert max(set(levels(threshold)[a]) & set(levels(threshold)[b]), default=0) >= differences
            else:
                # the first common token is among these: `least` of them follow from there on
                assert lengths[a] >= a - least + 1
                assert lengths[b] >= b - least + 1


def test_most_short_sets_have_one_key_more_than_words_they_may_differ_in():
    row, _ = exact_keys(packed(*(set(range(size)) for size in range(60))), 0.9)
    counts = np.bincount(row, minlength=60).tolist()
    assert counts[:9] == [0] * 9  # up to eight words, one more or less is too many
    assert counts[9:18] == [2] * 9  # 9 / 10 is within it, 9 / 11 is not
    assert counts[18:27] == [5, *[3] * 8]  # from 18 / 20 on, two words
    assert len(exact_keys(packed(set(range(19))), 1.0)[0]) == 0


@st.composite
def relatives(draw):
    """A set, and others that differ from it in a few tokens."""
    base = draw(st.sets(st.integers(0, 80), min_size=1, max_size=45))
    edits = st.sets(st.integers(0, 85), max_size=8)
    return [base, *(base ^ edit for edit in draw(st.lists(edits, min_size=1, max_size=6)))]


@settings(deadline=None)  # the first example compiles
@given(relatives(), st.sampled_from(THRESHOLDS))
def test_sets_within_the_threshold_share_a_key(sets, threshold):
    keys = keys_of(sets, threshold)
    for i, one in enumerate(sets):
        for j, other in enumerate(sets[:i]):
            assert keys[i] & keys[j] or not alike(one, other, threshold), (one, other)


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.85, 0.9, 0.95])
def test_sets_of_all_sizes_at_the_very_threshold_share_a_key(threshold):
    draw, needed = random.Random(1), min_overlaps(301, threshold)
    sets = []
    for a in range(1, 151):
        for b in range(a, min(151, a + 30)):
            least = int(needed[a + b])
            if least <= a and a + b - 2 * least > 0 and (a + b) % 3 == 0:
                tokens = draw.sample(range(10**6), a + b - least)
                sets += [set(tokens[:a]), set(tokens[a - least :])]
    assert len(sets) > 300
    row, key = exact_keys(packed(*sets), threshold)
    of_pair = np.unique(np.stack([key, (row // 2).astype(np.uint64), (row % 2).astype(np.uint64)]), axis=1)
    shared = (of_pair[:2, 1:] == of_pair[:2, :-1]).all(axis=0)
    assert set(of_pair[1, 1:][shared].tolist()) == set(range(len(sets) // 2))


def test_the_keys_of_a_set_do_not_depend_on_the_others():
    sets = [
        set(range(start, start + size))
        for start, size in ((0, 5), (3, 19), (9, 59), (2, 60), (1, 64), (50, 70), (0, 300), (7, 0))
    ]
    for threshold in (0.6, 0.9):
        assert keys_of(sets, threshold) == [keys_of([one], threshold)[0] for one in sets]
