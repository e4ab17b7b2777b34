"""Greedy removal against its definition, played round by round."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from personahub.dedup.kernels.greedy_mis import KEPT, PENDING, REMOVED, decide


@st.composite
def lists_of_pairs(draw):
    """(n, the pairs within the threshold, the pairs that were found: the first of each row's list, cut or not)."""
    n = draw(st.integers(1, 12))
    pairs = draw(st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=40))
    pairs = sorted((max(pair), min(pair)) for pair in pairs if pair[0] != pair[1])
    found = []
    for low in range(n):
        highs = sorted({high for at, high in pairs if at == low})
        most = draw(st.integers(1, 4))
        found += [(low, high, at == most - 1 < len(highs) - 1) for at, high in enumerate(highs[:most])]
        found += draw(st.lists(st.sampled_from([(low, high, False) for high in highs]), max_size=2)) if highs else []
    return n, sorted(set(pairs)), draw(st.permutations(found))


def arrays(found):
    low, high, cut = zip(*found, strict=True) if found else ((), (), ())
    return np.array(low, np.int64), np.array(high, np.int64), np.array(cut, np.bool_)


def played(n, found):
    """Round after round: kept with nothing left above, removed where the first that is left above is kept."""
    state, duplicate_of, rounds, number = {}, dict.fromkeys(range(n), -1), dict.fromkeys(range(n), 0), 0
    while True:
        number += 1
        before = dict(state)
        firsts = {}
        for row in set(range(n)) - set(before):
            above = sorted({(high, high in before and before[high] == REMOVED) for low, high, cut in found if low == row})
            cuts = {high for low, high, cut in found if low == row and cut}
            left = [high for high, gone in above if not gone or high in cuts]
            firsts[row] = left[0] if left else None
        for row, first in firsts.items():
            if first is None:
                state[row], rounds[row] = KEPT, number
        for row, first in firsts.items():
            if first is not None and state.get(first) == KEPT:
                state[row], rounds[row], duplicate_of[row] = REMOVED, number, first
        if state == before:
            return (
                [duplicate_of[row] for row in range(n)],
                [state.get(row, PENDING) for row in range(n)],
                [rounds[row] for row in range(n)],
            )


@settings(deadline=None)  # the first call compiles
@given(lists_of_pairs())
def test_the_verdicts_are_those_of_the_rounds(case):
    n, _, found = case
    assert tuple(each.tolist() for each in decide(n, *arrays(found))) == played(n, found)


@settings(deadline=None)  # the first call compiles
@given(lists_of_pairs())
def test_no_verdict_on_cut_lists_differs_from_that_on_whole_ones(case):
    n, pairs, found = case
    duplicate_of, state, _ = decide(n, *arrays(found))
    truly_by, truly, _ = decide(n, *arrays([(low, high, False) for low, high in pairs]))
    assert PENDING not in truly
    known = state != PENDING
    assert (state[known] == truly[known]).all()
    assert (duplicate_of[known] == truly_by[known]).all()


@settings(deadline=None)  # the first call compiles
@given(lists_of_pairs())
def test_on_whole_lists_no_two_are_kept_and_none_goes_without_a_keeper(case):
    n, pairs, _ = case
    duplicate_of, state, _ = decide(n, *arrays([(low, high, False) for low, high in pairs]))
    assert not [pair for pair in pairs if state[pair[0]] == state[pair[1]] == KEPT]
    for row in np.flatnonzero(state == REMOVED):
        assert duplicate_of[row] == min(high for low, high in pairs if low == row and state[high] == KEPT)
    assert (duplicate_of[state == KEPT] == -1).all()


def test_a_chain_is_cut_in_every_second_place():
    low = np.arange(1, 6)
    duplicate_of, _, rounds = decide(6, low, low - 1, np.zeros(5, np.bool_))
    assert duplicate_of.tolist() == [-1, 0, -1, 2, -1, 4]
    assert rounds.tolist() == [1, 1, 2, 2, 3, 3]


def test_rows_removed_before_stand_in_nobodys_way_unless_a_list_ends_with_them():
    low, high, gone = np.array([1, 2]), np.array([0, 0]), np.array([True, False, False])
    _, state, _ = decide(3, low, high, np.array([False, True]), gone)
    assert state.tolist() == [REMOVED, KEPT, PENDING]
