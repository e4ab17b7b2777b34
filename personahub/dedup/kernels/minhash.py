"""MinHash signatures, bit for bit those of datasketch (scheme affine32), and their bands (LSH).

The paper's method (section 2.3: 1-grams, signatures of 128, similarity 0.9).
"""

from functools import lru_cache

import numpy as np

from personahub.dedup.kernels import compiled
from personahub.dedup.kernels.sets import TokenSets
from personahub.dedup.kernels.tokenize import mix

NOTHING = np.uint32(0xFFFFFFFF)  # each value of an empty set's signature


def signatures(sets: TokenSets, num_perm: int, seed: int) -> np.ndarray:
    """uint32 (n, num_perm): `datasketch.MinHash(num_perm, seed, scheme="affine32", hashfunc=token_hash32)` over each set's tokens.

    All signatures of empty sets are alike, so leave empty sets out before comparing.
    """
    factors, summands = permutations(num_perm, seed)
    return _signatures(sets.offsets, sets.values, factors, summands)


@lru_cache
def permutations(num_perm: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Factors (odd) and summands, uint32, of the permutations h -> factor * h + summand modulo 2^32, as datasketch draws them."""
    from datasketch import MinHash  # here, because it takes half a second and few need it

    factors, summands = MinHash(num_perm, seed=seed, scheme="affine32").permutations
    return np.ascontiguousarray(factors, np.uint32), np.ascontiguousarray(summands, np.uint32)


def recall(jaccard: float, bands: int, rows: int) -> float:
    """The probability that two sets of this similarity have the same `rows` values in at least one of `bands` bands."""
    return 1 - (1 - jaccard**rows) ** bands


def choose_bands(threshold: float, num_perm: int, min_recall: float) -> tuple[int, int]:
    """(bands, rows): the most rows, so the fewest false candidates, whose bands find a pair at the threshold with `min_recall` at least.

    ValueError if not even bands of one row do.
    """
    for rows in range(num_perm, 0, -1):
        if recall(threshold, num_perm // rows, rows) >= min_recall:
            return num_perm // rows, rows
    raise ValueError(
        f"no bands of {num_perm} permutations find pairs at {threshold} with recall {min_recall}: "
        "raise num_perm, lower min_recall, or use the exact method"
    )


def band_keys(signatures: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """uint64 (n * bands,), signature by signature: a hash of each band's number and values. ValueError if there are too few values."""
    if bands * rows > signatures.shape[1]:
        raise ValueError(f"{bands} bands of {rows} rows need more than the {signatures.shape[1]} values of a signature")
    return _band_keys(np.ascontiguousarray(signatures[:, : bands * rows], np.uint32).reshape(-1, bands, rows))


@compiled
def _signatures(offsets, values, factors, summands):
    lowest = np.full((len(offsets) - 1, len(factors)), NOTHING, np.uint32)
    for row in range(len(offsets) - 1):
        signature = lowest[row]
        for at in range(offsets[row], offsets[row + 1]):
            token = np.uint32(values[at])
            token = np.uint32((token ^ (token >> np.uint32(16))) * np.uint32(0x85EBCA6B))  # datasketch mixes before it permutes
            token = np.uint32((token ^ (token >> np.uint32(13))) * np.uint32(0xC2B2AE35))
            token = np.uint32(token ^ (token >> np.uint32(16)))
            for k in range(len(factors)):  # 32 bits throughout: the overflow is the modulo, and eight to sixteen go at a time
                signature[k] = min(signature[k], np.uint32(factors[k] * token + summands[k]))
    return lowest


@compiled
def _band_keys(banded):
    n, bands, rows = banded.shape
    keys = np.empty(n * bands, np.uint64)
    for row in range(n):
        for band in range(bands):
            key = mix(np.uint64(band + 1))
            for k in range(rows):
                key = (key ^ np.uint64(banded[row, band, k])) * np.uint64(0x9E3779B97F4A7C15)
                key ^= key >> np.uint64(32)
            keys[row * bands + band] = mix(key)
    return keys
