"""From ASCII bytes to sorted token hashes: the compiled half of `sets.token_sets`."""

from functools import lru_cache

import numpy as np

from personahub.dedup.kernels import compiled
from personahub.text import normalise, words

ASCII = 128  # the first code point beyond it
_BASIS, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)  # of FNV-1a
_SPACE = 32
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
    """Sorts hashes in place, each once, at the front; returns how many there are."""
    count = len(values)
    if count > _FEW:
        _sort_roughly(values)
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


@compiled
def _sort_roughly(values):
    """By as many leading bits as leave about one hash in each place (hashes are spread evenly), so that an insertion sort moves little."""
    bits = 1
    while 1 << bits < len(values) and bits < 16:
        bits += 1
    shift = np.uint64(64 - bits)
    ends = np.zeros(1 << bits, np.int64)
    for value in values:
        ends[np.int64(value >> shift)] += 1
    for place in range(1, len(ends)):
        ends[place] += ends[place - 1]
    before = values.copy()
    for value in before:
        place = np.int64(value >> shift)
        ends[place] -= 1
        values[ends[place]] = value


@lru_cache
def fold_table(unit: str) -> np.ndarray:
    """uint64[128]: what `text.words` (unit word) or `text.normalise` makes of each ASCII character: 0 between units, else 1 | byte << 8."""
    fold = words if unit == "word" else normalise
    table = np.array([1 | ord("".join(folded)) << 8 if (folded := fold(chr(code))) else 0 for code in range(ASCII)], np.uint64)
    table.flags.writeable = False
    return table


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
def _hash_runs_of_units(text, table, by_character, ngram, folded, ends, hashes):
    """`_hash_words` for runs of `ngram` words or characters; a text of fewer units is one run.

    folded: room for the words with one space between two; ends: room for where each unit ends in it.
    """
    count, size, inside, every = 0, 0, np.uint64(0), np.uint8(0)
    for byte in text:  # a separator is written after a word, and overwritten by what follows
        every |= byte
        entry = table[byte & np.uint8(0x7F)]
        part = entry & np.uint64(1)
        folded[size] = entry >> np.uint64(8) if part else _SPACE
        ends[count] = size
        count += np.int64(inside & ~part)
        size += np.int64(inside | part)
        inside = part
    if every & np.uint8(0x80):
        return -1
    if inside:
        ends[count] = size
        count += 1
    if not count:
        return 0
    gap = 1  # bytes between two units
    if by_character:
        count, gap = ends[count - 1], 0
        for at in range(count):
            ends[at] = at + 1
    run = min(ngram, count)
    for first in range(count - run + 1):
        start = ends[first - 1] + gap if first else 0
        hashes[first] = hash_run(folded[start : ends[first + run - 1]])
    return count - run + 1


@compiled
def _enlarged(values, room):
    larger = np.empty(2 * room, np.uint64)
    for at in range(len(values)):  # a loop: numba takes seconds to compile the assignment of a slice
        larger[at] = values[at]
    return larger


@compiled
def tokenise(data, offsets, table, by_character, ngram):
    """Offsets and values of the token sets of the texts data[offsets[i]:offsets[i + 1]], and which texts are not ASCII, bool.

    A text that is not ASCII has an empty set. table: `fold_table`.
    """
    count = len(offsets) - 1
    rows, others, used = np.zeros(count + 1, np.int64), np.zeros(count, np.bool_), 0
    longest = 0
    for row in range(count):
        longest = max(longest, offsets[row + 1] - offsets[row])
    folded, ends = np.empty(longest + 1, np.uint8), np.empty(longest + 1, np.int64)
    values = np.empty((offsets[-1] - offsets[0]) // 4 + longest + 1, np.uint64)
    for row in range(count):
        text = data[offsets[row] : offsets[row + 1]]
        if used + len(text) + 1 > len(values):
            values = _enlarged(values, used + len(text) + 1)
        if by_character or ngram > 1:
            found = _hash_runs_of_units(text, table, by_character, ngram, folded, ends, values[used:])
        else:
            found = _hash_words(text, table, values[used:])
        others[row] = found < 0
        used += sort_unique(values[used : used + max(found, 0)])
        rows[row + 1] = used
    return rows, values[:used], others
