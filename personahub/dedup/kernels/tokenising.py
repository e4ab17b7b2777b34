"""From UTF-8 bytes to sorted token hashes: the compiled half of `sets.token_sets`.

These kernels stand in one file because numba, before it takes a kernel from its cache on disk, looks whether the kernel's own file has
changed, but not the files of what it calls.
"""

import numpy as np

from personahub.dedup.kernels import compiled

# What a character is: white space or no part of a word; part of a word; a word of its own; left to Python.
SEPARATOR, PART, WHOLE, OTHER = range(4)
ASCII, PLANE = 128, 0x10000  # the first code point beyond ASCII, and beyond what two and three bytes of UTF-8 hold

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


@compiled
def sorted_sets(offsets, values):
    """Offsets and values of the sets of hashes that stand in values[offsets[i]:offsets[i + 1]] in any order, with repeats."""
    rows, kept, used = np.zeros(len(offsets), np.int64), np.empty(len(values), np.uint64), 0
    for row in range(len(offsets) - 1):
        size = offsets[row + 1] - offsets[row]
        for at in range(size):
            kept[used + at] = values[offsets[row] + at]
        used += sort_unique(kept[used : used + size])
        rows[row + 1] = used
    return rows, kept[:used]


@compiled
def _hash_ascii_words(text, table, hashes):
    """The hashes of the words of a text, in order, into `hashes` (room for as many as the text has bytes).

    Returns how many they are; -1 if the text is not ASCII.
    """
    value, count, inside, every = _BASIS, 0, np.uint64(0), np.uint8(0)
    for byte in text:  # without branches, which no processor could foresee: each byte writes, only the end of a word moves on
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
def _hash_runs_of(folded, ends, units, gap, ngram, hashes):
    """The hashes of all runs of `ngram` of the `units` > 0, or of the one run of all if there are fewer, into `hashes`; how many they are.

    Unit i ends at ends[i] and starts `gap` bytes after the end of the one before.
    """
    run = min(ngram, units)
    for first in range(units - run + 1):
        start = ends[first - 1] + gap if first else 0
        hashes[first] = hash_run(folded[start : ends[first + run - 1]])
    return units - run + 1


@compiled
def _fold(text, table, folded, ends):
    """Folds the UTF-8 bytes of a text into `folded`: its words, one space between two; where each of them ends, into `ends`.

    Returns how many words there are; -1 if some character is not in the table. Both outputs have room for 4 * len(text) + 16.
    """
    count, size, inside, at = 0, 0, np.uint64(0), 0
    while at < len(text):
        lead = text[at]
        at += 1
        if lead < ASCII:  # without branches: a separator is written after a word, and overwritten by whatever follows
            entry = table[lead]
            part = entry & np.uint64(PART)
            folded[size] = entry >> np.uint64(8)
            ends[count] = size
            count += np.int64(inside & ~part)
            size += np.int64(inside | part)
            inside = part
            continue
        code, length = _decoded(text, lead, at)
        at += length
        entry = table[code] if code < len(table) else np.uint64(OTHER)
        kind = entry & np.uint64(3)
        if kind == OTHER:
            return -1
        if inside and kind != PART:
            ends[count] = size
            count += 1
            folded[size] = _SPACE
            size += 1
        if kind != SEPARATOR:
            for byte in range(np.int64(entry >> np.uint64(4) & np.uint64(7))):
                folded[size] = entry >> np.uint64(8 + 8 * byte)
                size += 1
        if kind == WHOLE:
            ends[count] = size
            count += 1
            folded[size] = _SPACE
            size += 1
        inside = np.uint64(kind == PART)
    if inside:
        ends[count] = size
        count += 1
    return count


@compiled
def _decoded(text, lead, at):
    """The code point of a character of two or three bytes, of which `lead` stands before `at`, and how many follow; PLANE for any other."""
    if 0xC2 <= lead < 0xE0 and at < len(text) and text[at] & 0xC0 == 0x80:
        return np.int64(lead & 0x1F) << 6 | np.int64(text[at] & 0x3F), 1
    if 0xE0 <= lead < 0xF0 and at + 1 < len(text) and text[at] & 0xC0 == 0x80 and text[at + 1] & 0xC0 == 0x80:
        return np.int64(lead & 0xF) << 12 | np.int64(text[at] & 0x3F) << 6 | np.int64(text[at + 1] & 0x3F), 2
    return np.int64(PLANE), 0


@compiled
def _characters(folded, ends, count):
    """Where each character, spaces included, of `count` > 0 words that `_fold` left in `folded` ends, into `ends`; how many they are."""
    size = ends[count - 1]
    found = 0
    for at in range(1, size + 1):
        if at == size or folded[at] & 0xC0 != 0x80:  # not inside a character
            ends[found] = at
            found += 1
    return found


@compiled
def _enlarged(values, room):
    larger = np.empty(2 * room, np.uint64)
    for at in range(len(values)):  # a loop, as everywhere here: numba takes seconds to compile the assignment of a slice
        larger[at] = values[at]
    return larger


@compiled
def tokenise(data, offsets, table, by_character, ngram):
    """Offsets and values of the token sets of the texts data[offsets[i]:offsets[i + 1]] (UTF-8), and which texts were left out, bool.

    Left out, with an empty set, is a text with a character that is not in the table of `folding`.
    """
    count = len(offsets) - 1
    rows, left, used = np.zeros(count + 1, np.int64), np.zeros(count, np.bool_), 0
    longest = 0
    for row in range(count):
        longest = max(longest, offsets[row + 1] - offsets[row])
    folded, ends = np.empty(4 * longest + 16, np.uint8), np.empty(4 * longest + 16, np.int64)
    values = np.empty((offsets[-1] - offsets[0]) // 4 + 4 * longest, np.uint64)
    for row in range(count):
        text = data[offsets[row] : offsets[row + 1]]
        if used + 4 * len(text) > len(values):
            values = _enlarged(values, used + 4 * len(text))
        found = -1 if by_character or ngram > 1 else _hash_ascii_words(text, table, values[used:])
        if found < 0:
            units = _fold(text, table, folded, ends)
            left[row] = units < 0
            if units > 0 and by_character:
                units = _characters(folded, ends, units)
            found = _hash_runs_of(folded, ends, units, 0 if by_character else 1, ngram, values[used:]) if units > 0 else 0
        used += sort_unique(values[used : used + found])
        rows[row + 1] = used
    return rows, values[:used], left
