"""A Bloom filter (CACM 13, 1970) of keys that are hashes already: it lets pass what it was made of, and about one in a hundred others."""

import numpy as np

from personahub.dedup.kernels import compiled

_BITS_A_KEY = 16  # at least, and two of them are set


def sieve(keys: np.ndarray) -> np.ndarray:
    """uint64, as many words as a power of two: the filter of these keys (uint64)."""
    words = 1
    while words * 64 < len(keys) * _BITS_A_KEY:
        words *= 2
    return _made(np.ascontiguousarray(keys, np.uint64), words)


def passes(sieve: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """bool, one a key: True for all that the filter was made of."""
    return _passes(np.ascontiguousarray(sieve, np.uint64), np.ascontiguousarray(keys, np.uint64))


@compiled
def _places(key):
    """Two places: the lowest six bits choose the bit, those above them the word. The last bit of a key tells its kind (see keying)."""
    return key >> np.uint64(1), key >> np.uint64(33)


@compiled
def _made(keys, words):
    bits, mask = np.zeros(words, np.uint64), np.uint64(words - 1)
    for key in keys:
        for place in _places(key):
            bits[(place >> np.uint64(6)) & mask] |= np.uint64(1) << (place & np.uint64(63))
    return bits


@compiled
def _passes(bits, keys):
    passed, mask = np.empty(len(keys), np.bool_), np.uint64(len(bits) - 1)
    for i in range(len(keys)):
        one, other = _places(keys[i])
        first = bits[(one >> np.uint64(6)) & mask] >> (one & np.uint64(63))
        second = bits[(other >> np.uint64(6)) & mask] >> (other & np.uint64(63))
        passed[i] = (first & second & np.uint64(1)) == np.uint64(1)
    return passed
