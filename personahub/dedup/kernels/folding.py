"""What `personahub.text` makes of each character, as a table: with it kernels fold and split UTF-8 bytes without Python.

The table asks `text.words` and `text.normalise` themselves, so that there is one definition of a token. It knows a character only if its
neighbours can not change what becomes of it; texts with any other (combining marks, jamo, Indic scripts, emoji) are left to Python.
"""

import unicodedata
from functools import lru_cache

import numpy as np

from personahub.dedup.kernels.tokenising import ASCII, OTHER, PART, PLANE, SEPARATOR, WHOLE
from personahub.text import normalise, words

# Latin, Greek, Cyrillic, Armenian, Hebrew, Arabic; more Latin and Greek, punctuation, symbols; kana; Han; Hangul; full-width forms.
# What composes with the character before it has a combining class in these; other blocks have vowel signs and jamo that have none.
_BLOCKS = ((0, 0x700), (0x1E00, 0x2C00), (0x3000, 0x3100), (0x4E00, 0xA000), (0xAC00, 0xD7A4), (0xFF01, 0xFF5F))
_MOST_BYTES = (
    6  # of a folded character: with a space on either side not more than the room that the kernel has, four times its own bytes
)


@lru_cache
def fold_table(unit: str, only_ascii: bool) -> np.ndarray:
    """uint64 by code point (the first 128, or 65,536): kind of the character | number of bytes it folds to << 4 | these bytes << 8.

    The first of the bytes is the lowest.
    """
    table = np.full(ASCII if only_ascii else PLANE, OTHER, np.uint64)
    for start, stop in _BLOCKS:
        for code in range(start, min(stop, len(table))):
            kind, folded = _fold(chr(code), unit)
            if kind != OTHER and len(folded) <= _MOST_BYTES:
                table[code] = kind | len(folded) << 4 | int.from_bytes(folded, "little") << 8
    table.flags.writeable = False
    return table


def _fold(character: str, unit: str) -> tuple[int, bytes]:
    """The kind of a character and what it folds to, seen between two letters."""
    if unicodedata.combining(unicodedata.normalize("NFKD", character)[0]):
        return OTHER, b""
    between = f"a{character}a"
    if unit != "word":
        folded = normalise(between)[1:-1]
        if " " in folded:
            return (SEPARATOR if folded == " " else OTHER), b" "
        return PART, folded.encode()
    match words(between):
        case ["a", "a"]:
            return SEPARATOR, b" "
        case ["a", folded, "a"]:
            return WHOLE, folded.encode()
        case [word]:
            return PART, word[1:-1].encode()
    return OTHER, b""
