"""From UTF-8 to the hashes of words in any script: `text.words`, compiled.

Most texts are as `text.unpointed` leaves them, but for spaces and what stands between words, which make no difference: they need no Python.
"""

import unicodedata
from functools import lru_cache

import numpy as np
import regex

from personahub.dedup.kernels import compiled
from personahub.dedup.kernels.tokenize import hash_run, sort_unique
from personahub.text import IDEOGRAPH, LETTER, MARK, PAIR, TRIPLE, UNSPACED, unpointed

# the class of a code point; of a letter, how many make a token: as many as a word has, or a run of PAIR or TRIPLE
_BETWEEN, _LETTER, _MARK, _KIND = 0, 1, 4, 7
# what may come out otherwise: a code point that `unpointed` changes, two that compose, two marks whose order may change
_CHANGES, _FIRST, _SECOND, _COMBINES = 8, 16, 32, 64
_MAY_CHANGE = r"(?V1)[\p{Changes_When_Casefolded}\p{Default_Ignorable_Code_Point}[^\p{Decomposition_Type=None}]\p{M}\u0640]"
_CODE_POINTS = 0x110000


def plain_classes() -> np.ndarray:
    """uint8[1114112]: the class alone, for texts that `text.unpointed` has made."""
    return classes() & np.uint8(_KIND)


@lru_cache
def classes() -> np.ndarray:
    """uint8[1114112]: the class of each code point, and bits for what may come out otherwise."""
    table = np.full(_CODE_POINTS, _BETWEEN, np.uint8)
    everything = "".join(chr(code) if not 0xD800 <= code < 0xE000 else " " for code in range(_CODE_POINTS))
    for pattern, kind in ((LETTER, _LETTER), (IDEOGRAPH, PAIR), (UNSPACED, TRIPLE), (MARK, _MARK)):
        for run in regex.finditer(f"(?V1){pattern}+", everything):
            table[run.start() : run.end()] = kind
    for match in regex.finditer(_MAY_CHANGE, everything):
        folded = unpointed(match[0])
        gone = not folded and not match[0].isspace()
        if gone or (folded != match[0] and any(table[ord(each)] != _BETWEEN for each in match[0] + folded)):
            table[match.start()] |= _CHANGES
        if any(map(unicodedata.combining, unicodedata.normalize("NFD", match[0]))):
            table[match.start()] |= _COMBINES
    for match in regex.finditer(r"\p{Decomposition_Type=Canonical}", everything):
        first, *second = unicodedata.decomposition(match[0]).split() or ("0",)
        for part in second:
            table[int(first, 16)] |= _FIRST
            table[int(part, 16)] |= _SECOND
    table[0x1100:0x1200] |= _CHANGES  # the letters of Hangul compose
    table.flags.writeable = False
    return table


@compiled
def _hash_words(text, table, hashes):
    """Writes the hashes of the words of a text (UTF-8), in order, into `hashes` (room: one a byte); returns their number;
    -1 if the text may not be as `text.unpointed` leaves it, or is no UTF-8.
    """
    count, at, kind, letters, before = 0, 0, _BETWEEN, 0, 0
    start = second = third = 0  # of the word or the run's last letter, and of the two letters before it
    while at <= len(text):
        here, code = at, np.int64(text[at]) if at < len(text) else 32
        at += 1
        if code >= 0x80:
            width = 4 if code >= 0xF0 else 3 if code >= 0xE0 else 2
            if code < 0xC2 or code > 0xF4 or here + width > len(text):
                return -1
            code &= 0x7F >> width
            for _ in range(width - 1):
                if text[at] & 0xC0 != 0x80:
                    return -1
                code = code << 6 | (text[at] & 0x3F)
                at += 1
            if code > 0x10FFFF or 0xD800 <= code < 0xE000 or code < (0, 0, 0x80, 0x800, 0x10000)[width]:
                return -1
        entry = table[code]
        if entry & _CHANGES or (entry & _SECOND and before & _FIRST) or (entry & _COMBINES and before & _COMBINES):
            return -1
        before, found = entry, entry & _KIND
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
    """Offsets and values of the sets of word hashes of the texts data[offsets[i]:offsets[i + 1]], and which texts, bool, may not be as
    `text.unpointed` leaves them: their sets are empty. table: `classes`.
    """
    rows, used, others = np.zeros(len(offsets), np.int64), 0, np.zeros(len(offsets) - 1, np.bool_)
    values = np.empty(offsets[-1] - offsets[0] + 1, np.uint64)
    for row in range(len(offsets) - 1):
        found = _hash_words(data[offsets[row] : offsets[row + 1]], table, values[used:])
        others[row] = found < 0
        used += sort_unique(values[used : used + max(found, 0)])
        rows[row + 1] = used
    return rows, values[:used], others
