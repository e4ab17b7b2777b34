import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personahub.dedup.kernels.sets import TokenSets, hash_tokens, set_keys, take, token_hash32, token_sets
from personahub.text import tokens

WORD64 = 1 << 64

# few characters, so that words repeat; and those that fold into something else, compose, or are words of their own
_CHARACTERS = st.one_of(
    st.sampled_from("abAB_9 .-\n\t\x00\x1f"),
    st.sampled_from(
        "éÉßŉİµ½¨ªⅧ①ﬁǅΣς’“—…\u00a0\u2003\u00ad\u200d在北ぱが가각กำक्षि\U0001f600\U0001d400\u0301\u0308\u0327\u3099\u1161\u11a8ㄱㅏ，ＡＺ"
    ),
    st.characters(max_codepoint=0x24F),
    st.characters(exclude_categories=["Cs"]),
)
_TEXTS = st.lists(st.none() | st.text(_CHARACTERS, max_size=40), max_size=8)
_SETS = st.lists(st.frozensets(st.one_of(st.integers(0, 5), st.integers(0, WORD64 - 1)), max_size=6), max_size=8)


def slow_mix(value: int) -> int:
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        value = (value ^ value >> 33) * factor % WORD64
    return value ^ value >> 33


def slow_hash(token: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in token:
        value = (value ^ byte) * 0x100000001B3 % WORD64
    return slow_mix(value)


def slow_rows(texts, unit="word", ngram=1) -> list[list[int]]:
    return [sorted({slow_hash(token.encode()) for token in tokens(text or "", unit, ngram)}) for text in texts]


def as_rows(sets: TokenSets) -> list[list[int]]:
    return [sets.values[start:stop].tolist() for start, stop in zip(sets.offsets[:-1], sets.offsets[1:], strict=True)]


def as_sets(rows) -> TokenSets:
    offsets = np.cumsum([0, *map(len, rows)])
    return TokenSets(offsets, np.array([value for row in rows for value in sorted(row)], np.uint64))


def rows_of(texts, unit="word", ngram=1) -> list[list[int]]:
    return as_rows(token_sets(pa.array(texts, pa.string()), unit, ngram))


# -- hashes -----------------------------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.binary(max_size=12)))
def test_tokens_are_hashed_by_fnv_and_the_finaliser_of_murmur(some):
    assert hash_tokens(some).tolist() == [slow_hash(token) for token in some]
    assert [token_hash32(token) for token in some] == [slow_hash(token) % (1 << 32) for token in some]


def test_the_hash_of_a_token_never_changes():
    # stored keys are compared with those of later versions
    assert hash_tokens([b"", b"nurse", "médecin".encode()]).tolist() == [
        17280346270528514342,
        15449160459616297734,
        18101693346550952249,
    ]


# -- texts to sets ----------------------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=400)
@given(_TEXTS, st.sampled_from(["word", "character"]), st.integers(1, 4), st.sampled_from([pa.string(), pa.large_string()]))
def test_sets_are_the_hashed_tokens_of_any_text(texts, unit, ngram, kind):
    assert as_rows(token_sets(pa.array(texts, kind), unit, ngram)) == slow_rows(texts, unit, ngram)


@settings(deadline=None)
@given(_TEXTS, _TEXTS, st.data())
def test_slices_and_chunks_are_read_where_they_lie(texts, more, data):
    array = pa.array(texts, pa.string())
    start = data.draw(st.integers(0, len(texts)))
    stop = data.draw(st.integers(start, len(texts)))
    assert as_rows(token_sets(array[start:stop])) == slow_rows(texts[start:stop])
    chunks = pa.chunked_array([array[start:], pa.array(more, pa.string())], pa.string())
    assert as_rows(token_sets(chunks)) == slow_rows(texts[start:] + more)
    assert as_rows(token_sets(pa.chunked_array([array]))) == slow_rows(texts)


@pytest.mark.parametrize(
    ("text", "unit", "ngram", "expected"),
    [
        ("The nurse, the NURSE's 3rd_shift", "word", 1, ["the", "nurse", "s", "3rd_shift"]),
        ("A b a  b c", "word", 2, ["a b", "b a", "b c"]),
        ("A b  c", "word", 9, ["a b c"]),
        (" Ab\tc ", "character", 3, ["ab ", "b c"]),
        ("Ärztin’s Straße", "word", 1, ["ärztin", "s", "strasse"]),
        ("在北京 works，在", "word", 1, ["在", "在北", "北京", "京", "works"]),
        ("在北京 works，在", "word", 2, ["在 在北", "在北 北京", "北京 京", "京 works", "works 在", "在 在"]),
        ("Été", "character", 2, ["ét", "té"]),
        ("... — !", "word", 1, []),
        ("", "character", 2, []),
    ],
)
def test_tokens_are_words_or_characters_of_the_folded_text(text, unit, ngram, expected):
    assert rows_of([text], unit, ngram) == [sorted(slow_hash(token.encode()) for token in expected)]


@pytest.mark.parametrize("text", ["e\u0301te\u0301", "\U0001f600 smile", "ㄱㅏ", "क्षि", "½ cup"])
def test_texts_that_are_not_ascii_keep_their_place(text):
    texts = ["one two", text, None, "three", text + " more"]
    assert rows_of(texts) == slow_rows(texts)


@pytest.mark.parametrize("count", [31, 32, 33, 34, 500, 70_000])
def test_long_texts_are_sorted_and_each_token_stands_once(count):
    text = " ".join(f"w{i % (count - 1)}" for i in range(count))
    (row,) = rows_of([text])
    assert len(row) == count - 1
    assert row == sorted(slow_hash(token.encode()) for token in tokens(text))


def test_the_room_for_hashes_grows():
    texts = [" ".join("abcdefghijklmnopqrstuvwxyz"[i % 9 :]) + f" {i}" for i in range(300)]  # a token in two bytes
    assert rows_of(texts) == slow_rows(texts)


def test_what_lies_under_a_null_is_not_read():
    data, offsets = pa.py_buffer(b"two words"), pa.py_buffer(np.array([0, 3, 9], np.int32))
    texts = pa.StringArray.from_buffers(2, offsets, data, pa.py_buffer(b"\x01"), 1)
    assert texts.to_pylist() == ["two", None]
    assert as_rows(token_sets(texts)) == slow_rows(["two", ""])


@pytest.mark.parametrize("broken", [b"ab\xe5", b"\xe5\x9c", b"\xc3a", b"\xe5\xc0\xa8", b"\x80", b"\xf0\x9f\x98"])
def test_bytes_that_are_no_text_are_refused_and_not_read_past_their_end(broken):
    offsets = pa.py_buffer(np.array([0, len(broken)], np.int32))
    with pytest.raises(UnicodeDecodeError):
        token_sets(pa.StringArray.from_buffers(1, offsets, pa.py_buffer(broken + b"\xa9\xa9")))


@pytest.mark.parametrize(
    "texts", [pa.array([], pa.string()), pa.array(["x"])[1:], pa.nulls(0), pa.chunked_array([], pa.string())]
)
def test_no_texts_are_no_sets(texts):
    sets = token_sets(texts)
    assert len(sets) == 0
    assert set_keys(sets).shape == (0, 2)


def test_columns_without_any_text_are_empty_sets():
    assert token_sets(pa.nulls(3)).sizes.tolist() == [0, 0, 0]


def test_what_can_not_be_tokenised_is_named():
    with pytest.raises(TypeError, match="not of int64"):
        token_sets(pa.array([1]))
    with pytest.raises(ValueError, match="ngram is 0"):
        token_sets(pa.array(["a"]), "word", 0)


# -- sets -------------------------------------------------------------------------------------------------------------------------------


def test_sets_can_not_be_written_to():
    offsets = np.array([0, 1])
    sets = TokenSets(offsets, np.array([5], np.uint64))
    with pytest.raises(ValueError, match="read-only"):
        sets.values[0] = 1
    offsets[1] = 1  # the array of the caller stays as it was


@settings(deadline=None)
@given(_SETS)
def test_keys_are_hashes_of_the_whole_set(rows):
    def slow_key(row, salt):
        return slow_mix((salt + len(row) + sum(slow_mix(value ^ salt) for value in row)) % WORD64)

    keys = set_keys(as_sets(rows))
    assert keys.tolist() == [[slow_key(row, salt) for salt in (0x9E3779B97F4A7C15, 0xD1B54A32D192ED03)] for row in rows]


@settings(deadline=None)
@given(_SETS)
def test_only_equal_sets_have_a_key_in_common(rows):
    keys = set_keys(as_sets(rows))
    for column in keys.T.tolist():
        assert len(set(column)) == len(set(rows))
    assert not set(keys[:, 0].tolist()) & set(keys[:, 1].tolist())


@settings(deadline=None)
@given(_SETS, st.data())
def test_take_gives_the_rows_asked_for(rows, data):
    indices = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=9)) if rows else []
    assert as_rows(take(as_sets(rows), np.array(indices, int))) == [sorted(rows[i]) for i in indices]


@pytest.mark.parametrize("index", [-1, 2])
def test_take_refuses_a_row_that_is_not_there(index):
    with pytest.raises(IndexError):
        take(as_sets([{1}, {2}]), np.array([0, index]))
