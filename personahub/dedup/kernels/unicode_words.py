"""From UTF-8 to the hashes of words in any script: `text.words`, compiled. The texts are `text.unpointed` already."""

from functools import lru_cache

import numpy as np
import regex

from personahub.dedup.kernels import compiled
from personahub.dedup.kernels.tokenize import hash_run, sort_unique
from personahub.text import IDEOGRAPH, LETTER, MARK, PAIR, TRIPLE, UNSPACED

# the class of a code point; of a letter, how many make a token: as many as a word has, or a run of PAIR or TRIPLE
_BETWEEN, _LETTER, _MARK = 0, 1, 4
_CODE_POINTS = 0x110000


@lru_cache
def classes() -> np.ndarray:
    """uint8[1114112]: the class of each code point."""
    table = np.full(_CODE_POINTS, _BETWEEN, np.uint8)
    everything = "".join(chr(code) if not 0xD800 <= code < 0xE000 else " " for code in range(_CODE_POINTS))
    for pattern, kind in ((LETTER, _LETTER), (IDEOGRAPH, PAIR), (UNSPACED, TRIPLE), (MARK, _MARK)):
        for run in regex.finditer(f"(?V1){pattern}+", everything):
            table[run.start() : run.end()] = kind
    table.flags.writeable = False
    return table


@compiled
def _hash_words(text, table, hashes):
    """Writes the hashes of the words of a text (UTF-8), in order, into `hashes` (room: one a byte); returns their number."""
    count, at, kind, letters = 0, 0, _BETWEEN, 0
    start = second = third = 0  # of the word or the run's last letter, and of the two letters before it
    while at <= len(text):
        here, code = at, np.int64(text[at]) if at < len(text) else 32
        at += 1
        if code >= 0xC0:
            width = 4 if code >= 0xF0 else 3 if code >= 0xE0 else 2
            code &= 0x7F >> width
            for _ in range(width - 1):
                code = code << 6 | (text[at] & 0x3F)
                at += 1
        found = table[code]
        if found == _MARK:
            if kind != _BETWEEN:
                continue  # it belongs to the letter before it
            found = _BETWEEN
        if found == kind and kind <= _LETTER:
            continue
        if kind != _BETWEEN:  # a letter has ended, and with it a run of `kind` of them; at the end of all, the shorter runs too
            for longest in range(kind, 0 if found != kind else kind - 1, -1):
                length = min(longest, letters)
                hashes[count] = hash_run(text[start if length == 1 else second if length == 2 else third : here])
                count += 1
        letters = letters + 1 if found == kind else 1
        third, second, start, kind = second, start, here, found
    return count


@compiled
def tokenise(data, offsets, table):
    """Offsets and values of the sets of word hashes of the texts data[offsets[i]:offsets[i + 1]]. table: `classes`."""
    rows, used = np.zeros(len(offsets), np.int64), 0
    values = np.empty(offsets[-1] - offsets[0] + 1, np.uint64)
    for row in range(len(offsets) - 1):
        found = _hash_words(data[offsets[row] : offsets[row + 1]], table, values[used:])
        used += sort_unique(values[used : used + found])
        rows[row + 1] = used
    return rows, values[:used]
