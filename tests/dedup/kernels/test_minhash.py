import random
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pytest
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import collides

from personahub.dedup.kernels.minhash import NOTHING, band_keys, choose_bands, recall, signatures
from personahub.dedup.kernels.sets import TokenSets, token_hash32, token_sets
from personahub.text import tokens

_VOCABULARY = (
    [f"word{i}" for i in range(400)] + ["é" * i for i in range(1, 20)] + list("在北京学者Äß½😀") + ["e\u0301t", "ﬁn", "don’t"]
)


def texts(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(_VOCABULARY, k=rng.choice([0, 1, 5, 19, 19, 40]))) for _ in range(count)]


@pytest.mark.parametrize(("count", "num_perm", "seed"), [(10_000, 128, 1), (200, 16, 7), (200, 100, 42)])
def test_signatures_are_those_of_datasketch(count, num_perm, seed):
    some = texts(count, seed)
    hashed = lru_cache(None)(token_hash32)
    oracle = MinHash.bulk(
        [[token.encode() for token in tokens(text)] for text in some],
        num_perm=num_perm,
        seed=seed,
        scheme="affine32",
        hashfunc=hashed,
    )
    ours = signatures(token_sets(pa.array(some)), num_perm, seed)
    assert ours.dtype == np.uint32
    assert np.array_equal(ours, np.array([sketch.hashvalues for sketch in oracle]))


def test_the_signature_of_nothing_is_the_maximum():
    sets = token_sets(pa.array([None, "", "...", "a"]))
    ours = signatures(sets, 16, 1)
    assert (ours[:3] == NOTHING).all()
    assert (ours[3] != NOTHING).any()


# -- bands ------------------------------------------------------------------------------------------------------------------------------


def pairs(count: int, shared: int, single: int) -> tuple[TokenSets, TokenSets]:
    """`count` pairs of sets of which `shared` tokens are in both and `single` in one only."""
    size = shared + single
    values = np.random.default_rng(0).integers(0, 1 << 63, (count, size), np.uint64)
    halves = values[:, : shared + single // 2], np.delete(values, np.s_[shared : shared + single // 2], axis=1)
    return tuple(TokenSets(np.arange(count + 1) * half.shape[1], np.sort(half, axis=1).ravel()) for half in halves)


@pytest.mark.parametrize(("bands", "rows"), [(16, 8), (5, 25), (12, 10)])
def test_recall_is_the_share_of_pairs_that_collide(bands, rows):
    left, right = (signatures(half, 128, 3) for half in pairs(4000, 36, 4))
    measured = collides(left, right, bands, rows).mean()
    expected = recall(0.9, bands, rows)
    assert measured == pytest.approx(expected, abs=4 * (expected * (1 - expected) / 4000) ** 0.5 + 0.001)


@pytest.mark.parametrize(
    ("threshold", "num_perm", "min_recall", "bands", "rows"),
    [
        (0.9, 128, 0.999, 16, 8),
        (0.9, 128, 0.3, 5, 25),
        (0.7, 128, 0.999, 32, 4),
        (1.0, 16, 0.999, 1, 16),
        (0.5, 256, 0.99, 85, 3),
    ],
)
def test_bands_are_the_longest_that_reach_the_recall(threshold, num_perm, min_recall, bands, rows):
    assert choose_bands(threshold, num_perm, min_recall) == (bands, rows)
    assert recall(threshold, bands, rows) >= min_recall
    assert all(recall(threshold, num_perm // more, more) < min_recall for more in range(rows + 1, num_perm + 1))


def test_a_recall_out_of_reach_is_refused():
    with pytest.raises(ValueError, match="raise num_perm"):
        choose_bands(0.3, 16, 0.999)


_SIGNATURES = st.lists(st.lists(st.integers(0, 2), min_size=7, max_size=7), min_size=1, max_size=6).map(
    lambda rows: np.array(rows, np.uint32)
)


@settings(deadline=None)
@given(_SIGNATURES, st.sampled_from([(1, 7), (2, 3), (3, 2), (7, 1)]))
def test_keys_are_equal_where_the_values_of_one_band_are(some, shape):
    bands, rows = shape
    keys = band_keys(some, bands, rows)
    contents = [(band, *row[band * rows : (band + 1) * rows]) for row in some.tolist() for band in range(bands)]
    assert len(keys) == len(contents)
    assert len(set(keys.tolist())) == len(set(contents)) == len(set(zip(keys.tolist(), contents, strict=True)))


@settings(deadline=None)
@given(_SIGNATURES, st.sampled_from([(1, 7), (2, 3), (3, 2), (7, 1)]))
def test_signatures_collide_where_they_share_a_key(some, shape):
    keys = band_keys(some, *shape).reshape(len(some), -1)
    other = np.roll(np.arange(len(some)), 1)
    expected = [bool(set(keys[i].tolist()) & set(keys[j].tolist())) for i, j in enumerate(other)]
    assert collides(some, some[other], *shape).tolist() == expected


def test_more_bands_than_values_are_refused():
    with pytest.raises(ValueError, match="4 bands of 2 rows"):
        band_keys(np.zeros((2, 7), np.uint32), 4, 2)
