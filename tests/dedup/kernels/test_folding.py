import random
import sys
import unicodedata

import numpy as np
import pytest

from personahub.dedup.kernels.folding import fold_table
from personahub.dedup.kernels.tokenising import ASCII, OTHER, PART, SEPARATOR, WHOLE
from personahub.text import normalise, words


@pytest.fixture(scope="module", params=["word", "character"])
def known(request) -> tuple[str, dict[str, tuple[int, str]]]:
    """The unit, and for each character in its table the kind and what it folds to."""
    table = fold_table(request.param, False)
    entries = {chr(code): int(table[code]) for code in np.flatnonzero(table != OTHER)}
    return request.param, {
        character: (entry & 3, (entry >> 8).to_bytes(entry >> 4 & 15, "little").decode()) for character, entry in entries.items()
    }


def test_no_character_of_the_table_composes_with_the_one_before_it(known):
    # a primary composite is two characters, of which the second may be any that stands second in a canonical decomposition, or a jamo
    seconds = {chr(jamo) for jamo in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}
    for code in range(sys.maxunicode + 1):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            seconds.add(chr(int(parts[1], 16)))
    for character in known[1]:
        whole = unicodedata.normalize("NFKD", character)
        assert not seconds & {whole[0], character}
        assert not unicodedata.combining(whole[0])


def test_texts_of_known_characters_fold_one_by_one(known):
    unit, entries = known
    shape = {SEPARATOR: " ", PART: "{}", WHOLE: " {} "}
    drawn = random.Random(5).sample(list(entries), len(entries))
    for start in range(0, len(drawn), 200):
        text = "".join(drawn[start : start + 200])
        folded = "".join(shape[kind].format(result) for kind, result in map(entries.get, text)).split()
        assert folded == (words(text) if unit == "word" else normalise(text).split())


def test_ascii_is_known_whole(known):
    unit, entries = known
    assert {chr(code) for code in range(ASCII)} <= set(entries)
    assert np.array_equal(fold_table(unit, True), fold_table(unit, False)[:ASCII])


@pytest.mark.parametrize("character", "éßÀşŁøñжΩאبệ’—…€在がァ가，Ａ")
def test_what_european_and_asian_texts_are_made_of_is_known(character, known):
    assert character in known[1]
