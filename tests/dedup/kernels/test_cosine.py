"""Pairs within a cosine against two loops over all rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personahub.dedup.kernels import cosine, vectors


def family(count, dimension, seed, spread=0.5):
    """float32 rows about a few directions, so that many pairs are near any threshold; some rows are equal."""
    draw = np.random.default_rng(seed)
    rows = draw.standard_normal((4, dimension))[draw.integers(0, 4, count)] + spread * draw.standard_normal((count, dimension))
    rows *= 0.9 / np.linalg.norm(rows, axis=1, keepdims=True)
    rows[draw.integers(0, count, count // 5)] = rows[0]
    return rows.astype(np.float32)


def laid_out(rows, homes, decided):
    """Arguments of `bucket`: those at home first."""
    position = np.concatenate([np.flatnonzero(homes), np.flatnonzero(~homes)])
    return rows, vectors.squared_lengths(rows), position, int(homes.sum()), decided


def lists(rows, homes, decided, threshold, max_pairs, lows):
    """By definition: (low, high, score, truncated) for rows in priority order; one list against rows at home, one against the others."""
    squared = vectors.squared_lengths(rows)
    found = []
    for low in np.flatnonzero(lows & ~decided):
        for at_home in (True, False):
            others = [high for high in range(low) if homes[high] == at_home and (homes[low] or homes[high])]
            scores = [(high, vectors.cosine(rows[low], rows[high], squared[low], squared[high])) for high in others]
            reach = [(high, score) for high, score in scores if score >= threshold]
            for place, (high, score) in enumerate(reach[:max_pairs]):
                found.append((int(low), high, score, place == max_pairs - 1 and high != others[-1]))
    return found


def as_rows(pairs):
    return sorted(zip(*(column.tolist() for column in pairs), strict=True))


@pytest.mark.parametrize("max_pairs", [1, 3, 1000])
@pytest.mark.parametrize("blocks", [(256, 256, 1024), (3, 2, 5), (7, 50, 50)])
def test_a_bucket_finds_what_the_definition_says_whatever_the_blocks(monkeypatch, max_pairs, blocks):
    for name, size in zip(("LOWS", "FIRST", "LARGEST"), blocks, strict=True):
        monkeypatch.setattr(cosine, name, size)
    draw = np.random.default_rng(5)
    rows = family(90, 20, 2)
    homes, decided = draw.random(90) < 0.4, np.arange(90) < 20
    everyone = np.ones(90, np.bool_)
    for threshold in (0.6, 0.8):
        found = cosine.bucket(*laid_out(rows, homes, decided), threshold, max_pairs)
        expected = lists(rows, homes, decided, threshold, max_pairs, everyone)
        assert as_rows(found) == sorted(expected)
        assert len(expected) > 60


def test_a_score_on_the_threshold_counts_and_the_next_number_above_does_not():
    rows = family(40, 33, 8)
    homes, decided = np.ones(40, np.bool_), np.zeros(40, np.bool_)
    low, high, score, _ = cosine.bucket(*laid_out(rows, homes, decided), 0.5, 99)
    for at in range(0, len(low), 17):
        for threshold in (score[at], np.nextafter(score[at], 2)):
            found = cosine.bucket(*laid_out(rows, homes, decided), float(threshold), 99)
            pairs = {(a, b) for a, b, _, _ in as_rows(found)}
            assert ((low[at], high[at]) in pairs) == (threshold == score[at])


def test_a_score_is_the_same_whatever_is_compared_beside_it():
    rows = family(60, 48, 3)
    whole = {
        pair[:2]: pair[2] for pair in as_rows(cosine.bucket(*laid_out(rows, np.ones(60, bool), np.zeros(60, bool)), 0.7, 99))
    }
    for size in (2, 5, 31):
        part = as_rows(cosine.bucket(*laid_out(rows[:size], np.ones(size, bool), np.zeros(size, bool)), 0.7, 99))
        assert all(whole[low, high] == score for low, high, score, _ in part)
    assert all(score <= 1 for score in whole.values())
    assert 1.0 in whole.values()


@pytest.mark.parametrize("spread", [0.0, 0.001])
def test_a_family_that_is_all_alike_costs_its_size_and_not_its_square(monkeypatch, spread):
    looked_at = []
    collect = cosine._collect

    def counted(scores, *more):
        looked_at.append(scores.size)
        return collect(scores, *more)

    monkeypatch.setattr(cosine, "_collect", counted)
    count, max_pairs = 6_000, 32
    draw = np.random.default_rng(1)
    rows = (np.full((count, 8), 0.3) + spread * draw.standard_normal((count, 8))).astype(np.float32)
    low, high, _, truncated = cosine.bucket(*laid_out(rows, np.ones(count, bool), np.zeros(count, bool)), 0.9, max_pairs)
    assert len(low) == max_pairs * (count - max_pairs) + max_pairs * (max_pairs - 1) // 2
    assert high.max() < max_pairs
    assert truncated.sum() == count - max_pairs - 1
    assert sum(looked_at) <= count * cosine.FIRST
    looked_at.clear()
    homes = draw.random(count) < 0.5
    found = cosine.bucket(*laid_out(rows, homes, np.arange(count) < 10), 0.9, max_pairs)
    assert len(found[0]) < max_pairs * 2 * count
    assert sum(looked_at) <= 4 * count * cosine.FIRST
    everyone = cosine.merged(*found, max_pairs)[0]
    assert np.bincount(everyone, minlength=count)[10 + 2 * max_pairs :].min() == max_pairs


def test_opposite_and_lonely_rows_have_no_pairs():
    rows = np.array([[0.5, 0.5], [-0.5, -0.5]], np.float32)
    for size in (0, 1, 2):
        found = cosine.bucket(*laid_out(rows[:size], np.ones(size, bool), np.zeros(size, bool)), 0.1, 3)
        assert as_rows(found) == []


lists_of_pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6), st.booleans()), max_size=30)


@settings(deadline=None)  # the first call compiles
@given(lists_of_pairs, st.integers(1, 4))
def test_lists_are_merged_up_to_the_first_cut(pairs, max_pairs):
    columns = list(zip(*pairs, strict=True)) or [(), (), ()]
    low, high, truncated = np.array(columns[0], np.int64), np.array(columns[1], np.int64), np.array(columns[2], np.bool_)
    expected = []
    for row in range(4):
        highs = sorted({b for a, b, _ in pairs if a == row})
        for place, above in enumerate(highs):
            at_end = (row, above, True) in pairs or (place == max_pairs - 1 and place < len(highs) - 1)
            expected.append((row, above, above / 10, at_end))
            if at_end or place == max_pairs - 1:
                break
    assert as_rows(cosine.merged(low, high, high / 10, truncated, max_pairs)) == expected


def test_pairs_of_several_clusters_are_one_list_a_row():
    draw = np.random.default_rng(4)
    rows, decided = family(80, 20, 6), np.arange(80) < 10
    visits = draw.random((80, 5)) < 0.5
    own = draw.integers(0, 5, 80)
    visits[np.arange(80), own] = True
    row, cluster = np.nonzero(visits)
    found = cosine.cosine_pairs(rows, row, cluster, own[row] == cluster, decided, 0.7, 99)
    squared = vectors.squared_lengths(rows)
    expected = [
        (low, high, score, False)
        for low in range(10, 80)
        for high in range(low)
        if (visits[low, own[high]] or visits[high, own[low]])
        and (score := vectors.cosine(rows[low], rows[high], squared[low], squared[high])) >= 0.7
    ]
    assert as_rows(found) == expected
    assert len(expected) > 100
    few = cosine.cosine_pairs(rows, row, cluster, own[row] == cluster, decided, 0.7, 2)
    for low in range(10, 80):
        mine = [pair for pair in as_rows(few) if pair[0] == low]
        whole = [pair for pair in expected if pair[0] == low]
        assert [pair[:3] for pair in mine] == [pair[:3] for pair in whole[: len(mine)]]
        assert len(mine) == len(whole) or mine[-1][3]
