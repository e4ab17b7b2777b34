from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personahub.dedup.kernels.rarest import rarest_keys
from personahub.dedup.kernels.sets import TokenSets

NONE = np.empty(0, np.uint64)


def packed(*sets: set[int]) -> TokenSets:
    return TokenSets(np.cumsum([0, *map(len, sets)]), np.array([token for one in sets for token in sorted(one)], np.uint64))


def keys_of(sets: TokenSets, threshold: float, frequent: np.ndarray) -> list[set[int]]:
    row, key = rarest_keys(sets, threshold, frequent)
    return [set(key[row == one].tolist()) for one in range(len(sets))]


some_set = st.sets(st.integers(0, 30), max_size=25)


@given(st.lists(some_set, min_size=2, max_size=12), st.sampled_from([0.3, 0.5, 0.7, 0.9, 1.0]), st.permutations(range(20)))
def test_sets_within_the_threshold_share_a_key(sets, threshold, frequent):
    keys = keys_of(packed(*sets), threshold, np.array(frequent, np.uint64))
    for i, one in enumerate(sets):
        for j, other in enumerate(sets[:i]):
            if one | other and len(one & other) / len(one | other) >= threshold:
                assert keys[i] & keys[j], (one, other)


def test_the_rarest_tokens_are_the_keys():
    sets = [{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, {1, 2, 3}, {1, 2}, {1}]
    counts = Counter(token for one in sets for token in one)
    frequent = np.array(sorted(counts, key=counts.__getitem__), np.uint64)  # 4..10 once, then 3, 2, 1
    assert keys_of(packed(*sets), 0.9, frequent) == [{4, 5}, {3}, {2}, {1}]
    assert keys_of(packed(*sets), 0.9, frequent[-1:]) == [{2, 3}, {2}, {2}, {1}]  # what is not known to be frequent is rare
    assert keys_of(packed(*sets), 0.9, NONE)[0] == {1, 2}


@pytest.mark.parametrize("sets", [[], [set()], [set(), {1}]])
def test_an_empty_set_has_no_key(sets):
    assert keys_of(packed(*sets), 0.5, NONE) == [set(one) for one in sets]
