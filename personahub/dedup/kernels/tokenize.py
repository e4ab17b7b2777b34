"""From ASCII bytes to sorted token hashes: the compiled half of `sets.token_sets`."""

import numpy as np

from personahub.dedup.kernels import compiled
from personahub.text import words

ASCII = 128  # the first code point beyond it
_BASIS, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)  # of FNV-1a
_FEW = 32  # hashes that an insertion sort puts in order fastest


@compiled
def mix(value):
    """The finaliser of MurmurHash3 for 64 bits: a bijection in which every bit of the outcome depends on every one of the value."""
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xFF51AFD7ED558CCD)
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> np.uint64(33))


@compiled
def hash_run(token):
    """FNV-1a over the bytes of one token, then `mix`."""
    value = _BASIS
    for byte in token:
        value = (value ^ np.uint64(byte)) * _PRIME
    return mix(value)


@compiled
def hash_runs(data, ends):
    """uint64: the hash of each token, where token i is the bytes up to ends[i] that are not of token i - 1."""
    hashes = np.empty(len(ends), np.uint64)
    start = 0
    for i in range(len(ends)):
        hashes[i] = hash_run(data[start : ends[i]])
        start = ends[i]
    return hashes


@compiled
def sort_unique(values):
    """Sorts numbers in place, each once, at the front; returns how many there are."""
    count = len(values)
    if count > _FEW:
        values.sort()
    else:
        for at in range(1, count):
            value, hole = values[at], at
            while hole > 0 and values[hole - 1] > value:
                values[hole] = values[hole - 1]
                hole -= 1
            values[hole] = value
    if count < 2:
        return count
    unique, last = 1, values[0]
    for at in range(1, count):  # without branches: what equals the value before it is overwritten
        value = values[at]
        values[unique] = value
        unique += value != last
        last = value
    return unique


def _fold_table() -> np.ndarray:
    """uint64[128]: what `text.words` makes of each ASCII character: 0 between words, else 1 | byte << 8."""
    table = np.array([1 | ord("".join(folded)) << 8 if (folded := words(chr(code))) else 0 for code in range(ASCII)], np.uint64)
    table.flags.writeable = False
    return table


FOLD = _fold_table()


@compiled
def _hash_words(text, table, hashes):
    """Writes the hashes of the words of a text, in order, into `hashes` (room: one a byte).

    Returns their number; -1 if the text is not ASCII.
    """
    value, count, inside, every = _BASIS, 0, np.uint64(0), np.uint8(0)
    for (
        byte
    ) in text:  # without branches, which the processor could not predict: each byte writes, only the end of a word moves on
        every |= byte
        entry = table[byte & np.uint8(0x7F)]
        part = entry & np.uint64(1)
        hashes[count] = value
        count += np.int64(inside & ~part)
        inside = part
        value = (value ^ (entry >> np.uint64(8))) * _PRIME if part else _BASIS
    if every & np.uint8(0x80):
        return -1
    if inside:
        hashes[count] = value
        count += 1
    for i in range(count):
        hashes[i] = mix(hashes[i])
    return count


@compiled
def _enlarged(values, room):
    larger = np.empty(2 * room, np.uint64)
    for at in range(len(values)):  # a loop: numba takes seconds to compile the assignment of a slice
        larger[at] = values[at]
    return larger


@compiled
def tokenise(data, offsets, table):
    """Offsets and values of the sets of words of the texts data[offsets[i]:offsets[i + 1]], and which texts are not ASCII, bool.

    A text that is not ASCII has an empty set. table: FOLD.
    """
    count = len(offsets) - 1
    rows, others, used = np.zeros(count + 1, np.int64), np.zeros(count, np.bool_), 0
    longest = 0
    for row in range(count):
        longest = max(longest, offsets[row + 1] - offsets[row])
    values = np.empty((offsets[-1] - offsets[0]) // 4 + longest + 1, np.uint64)
    for row in range(count):
        text = data[offsets[row] : offsets[row + 1]]
        if used + len(text) + 1 > len(values):
            values = _enlarged(values, used + len(text) + 1)
        found = _hash_words(text, table, values[used:])
        others[row] = found < 0
        used += sort_unique(values[used : used + max(found, 0)])
        rows[row + 1] = used
    return rows, values[:used], others
