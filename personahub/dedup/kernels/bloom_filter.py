"""A Bloom filter (CACM 13, 1970) in blocks of a word, of keys that are hashes already: it lets pass what it was made of, and few others.

All bits of a key lie in one word, so that a key costs one look at the memory (Putze, Sanders, Singler: WEA 2007).
"""

import numpy as np

from personahub.dedup.kernels import compiled

_BITS_A_KEY = 16  # at least, and up to four of them are set


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
def _place(key):
    """The word, and the bits in it. The last bit of a key tells its kind (see keying): it chooses neither."""
    bits = np.uint64(0)
    for shift in (1, 7, 13, 19):
        bits |= np.uint64(1) << ((key >> np.uint64(shift)) & np.uint64(63))
    return key >> np.uint64(25), bits


@compiled
def _made(keys, words):
    made, mask = np.zeros(words, np.uint64), np.uint64(words - 1)
    for key in keys:
        word, bits = _place(key)
        made[word & mask] |= bits
    return made


@compiled
def _passes(made, keys):
    passed, mask = np.empty(len(keys), np.bool_), np.uint64(len(made) - 1)
    for i in range(len(keys)):
        word, bits = _place(keys[i])
        passed[i] = (made[word & mask] & bits) == bits
    return passed
