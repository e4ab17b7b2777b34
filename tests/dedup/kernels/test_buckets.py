"""Pairs of a bucket against looking at every pair, however the bucket is split."""

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personahub.dedup.kernels import buckets
from personahub.dedup.kernels.candidate_lists import lists_of_runs
from personahub.dedup.kernels.hot_buckets import without_hot
from personahub.dedup.kernels.sets import TokenSets

THRESHOLDS = [0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0]


def packed(sets) -> TokenSets:
    return TokenSets(np.cumsum([0, *map(len, sets)]), np.array([token for one in sets for token in sorted(one)], np.uint64))


def similarity(one, other):
    return len(one & other) / max(len(one | other), 1)


def expected(starts, sets, decided, threshold, max_pairs):
    """Every pair of every bucket, looked at."""
    rows = []
    for first, last in pairwise(starts):
        different = [row for row in range(first, last) if sets[row] not in sets[first:row]]
        for low in different:
            highs = [row for row in different if row < low and not (decided[row] and decided[low])]
            found = [(low, high, similarity(sets[low], sets[high])) for high in highs]
            found = [pair for pair in found if pair[2] >= threshold]
            rows += [(*pair, at == max_pairs - 1 < len(found) - 1) for at, pair in enumerate(found[:max_pairs])]
    return rows


def pairs(starts, sets, decided, threshold, max_pairs=buckets.MAX_PAIRS, hot=buckets.HOT):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buckets, "HOT", hot)
        found = buckets.bucket_pairs(np.array(starts), packed(sets), np.array(decided, np.bool_), threshold, max_pairs)
    assert [column.dtype for column in found] == [np.int64, np.int64, np.float64, np.bool_]
    return list(zip(*(column.tolist() for column in found), strict=True))


@st.composite
def bucketfuls(draw):
    """(starts, sets, decided): a few families of sets that differ in a few tokens, dealt into buckets."""
    bases = draw(st.lists(st.sets(st.integers(0, 40), max_size=25), min_size=1, max_size=3))
    member = st.tuples(st.sampled_from(bases), st.sets(st.integers(0, 45), max_size=4))
    sets = [base ^ edit for base, edit in draw(st.lists(member, max_size=18))]
    starts = sorted(draw(st.lists(st.integers(0, len(sets)), max_size=3)))
    decided = draw(st.lists(st.booleans(), min_size=len(sets), max_size=len(sets)))
    if draw(st.booleans()):
        decided.sort(reverse=True)  # as they come: what is decided is first in priority
    return [0, *starts, len(sets)], sets, decided


@settings(deadline=None)  # the first example compiles
@given(bucketfuls(), st.sampled_from(THRESHOLDS), st.integers(1, 4), st.sampled_from([0, 2, 5, 500]))
def test_bucket_pairs_are_those_of_looking_at_every_pair(bucketful, threshold, max_pairs, hot):
    assert pairs(*bucketful, threshold, max_pairs, hot) == expected(*bucketful, threshold, max_pairs)


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("hot", [20, 100_000])
def test_long_buckets_too(threshold, hot):
    draw = random.Random(5)
    bases = [set(draw.sample(range(60), draw.randint(1, 40))) for _ in range(12)]
    sets = [draw.choice(bases) ^ set(draw.sample(range(60), draw.randint(0, 2))) for _ in range(700)]
    starts, decided = [0, 400, 400, 401, 700], [row < 60 for row in range(700)]
    for max_pairs in (2, 25):
        want = expected(starts, sets, decided, threshold, max_pairs)
        assert want
        assert pairs(starts, sets, decided, threshold, max_pairs, hot) == want


def test_where_all_match_each_row_has_its_first_matches_and_a_cut():
    size, max_pairs = 6_000, 32
    sets = [{*range(1, 20), 100 + row} for row in range(size)]  # any two have 19 of 21 in common
    found = pairs([0, size], sets, [False] * size, 0.9, max_pairs)
    assert [(low, high) for low, high, _, _ in found] == [
        (low, high) for low in range(size) for high in range(min(low, max_pairs))
    ]
    assert {score for _, _, score, _ in found} == {19 / 21}
    assert all(truncated == (high == max_pairs - 1 and low > max_pairs) for low, high, _, truncated in found)


def test_rows_of_a_template_meet_only_by_the_words_they_differ_in():
    template = set(range(1, 19))
    sets = [template | {1_000 + row, 5_000 + row} for row in range(900)]
    sets += [template - {1} | {9_000 + row, 20_000 + row // 2} for row in range(600)]
    short = without_hot(packed(sets), lists_of_runs(np.arange(1500), np.array([0, 1500])), 0.9, 500)
    assert len(short.members) <= 2 * 600  # two by two, by the second word of the second half
    assert short.lengths.max() == 2


def test_a_chain_is_pairs_of_neighbours():
    sets = [set(range(start, start + 20)) for start in range(6)]
    neighbours = [(low, low - 1, 19 / 21, False) for low in range(1, 6)]
    assert pairs([0, 6], sets, [False] * 6, 0.9) == neighbours


def test_copies_take_no_place_in_a_list():
    base = set(range(20))
    sets = [base, base, base | {20}, base, base | {21}, base | {20}, base | {22}]
    found = pairs([0, 7], sets, [False] * 7, 0.9, 2)
    assert [(low, high, truncated) for low, high, _, truncated in found] == [
        (2, 0, False),
        (4, 0, False),
        (4, 2, False),
        (6, 0, False),
        (6, 2, True),
    ]
    assert pairs([0, 3, 7], sets, [False] * 7, 0.9, 2)[-1] == (6, 4, 20 / 22, True)  # a set is a copy only within its bucket


def test_nothing_is_alike_in_empty_buckets_and_empty_sets():
    assert pairs([0], [], [], 0.9) == []
    assert pairs([0, 0, 0], [], [], 0.9) == []
    assert pairs([0, 3], [set(), set(), {1}], [False] * 3, 0.3) == []


@pytest.mark.parametrize(
    ("starts", "decided", "threshold", "max_pairs"),
    [
        *[(starts, [False] * 2, 0.9, 1) for starts in ([], [0, 3], [1, 2], [0, 2, 1, 2])],
        ([0, 2], [False], 0.9, 1),
        ([0, 2], [False] * 2, 0.9, 0),
    ],
)
def test_what_does_not_fit_together_is_an_error(starts, decided, threshold, max_pairs):
    with pytest.raises(ValueError, match=r"buckets|max_pairs"):
        pairs(starts, [{1}, {2}], decided, threshold, max_pairs)
