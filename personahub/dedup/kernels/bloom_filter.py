"""A Bloom filter (CACM 13, 1970) in blocks of one word, of keys that are hashes already: all of its keys pass, and few others.

All bits of a key are in one word, so that a key costs one memory access (Putze, Sanders & Singler, WEA 2007).
"""

import numpy as np

from personahub.dedup.kernels import compiled

_BITS_A_KEY = 16  # at least; up to four of them are set


def build(keys: np.ndarray) -> np.ndarray:
    """uint64, as many words as a power of two: the filter of these keys (uint64)."""
    words = 1
    while words * 64 < len(keys) * _BITS_A_KEY:
        words *= 2
    return _build(np.ascontiguousarray(keys, np.uint64), words)


def passes(bloom: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """bool, one a key: True for all that the filter was built of."""
    return _passes(np.ascontiguousarray(bloom, np.uint64), np.ascontiguousarray(keys, np.uint64))


@compiled
def _place(key):
    """The word, and the bits in it. The last bit of a key is its kind (see blocking_keys): it chooses neither."""
    bits = np.uint64(0)
    for shift in (1, 7, 13, 19):
        bits |= np.uint64(1) << ((key >> np.uint64(shift)) & np.uint64(63))
    return key >> np.uint64(25), bits


@compiled
def _build(keys, words):
    bloom, mask = np.zeros(words, np.uint64), np.uint64(words - 1)
    for key in keys:
        word, bits = _place(key)
        bloom[word & mask] |= bits
    return bloom


@compiled
def _passes(bloom, keys):
    passed, mask = np.empty(len(keys), np.bool_), np.uint64(len(bloom) - 1)
    for i in range(len(keys)):
        word, bits = _place(keys[i])
        passed[i] = (bloom[word & mask] & bits) == bits
    return passed
