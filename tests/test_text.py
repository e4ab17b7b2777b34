import re
import unicodedata
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from many_scripts import SCRIPTS

from personahub.config import Config
from personahub.ids import persona_id
from personahub.text import (
    COPIED_WORDS,
    copied_run,
    cut_at_sentence,
    decoded,
    error_line,
    nearest,
    normalise,
    printable,
    tokens,
    words,
)

UNSPACED = ("Thai", "Lao", "Burmese", "Khmer", "Han", "Kana")


def jaccard(one: str, other: str) -> float:
    return len(tokens(one) & tokens(other)) / len(tokens(one) | tokens(other))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  A  Nurse\n\tin Ⅷ shifts ", "a nurse in viii shifts"),
        ("STRASSE straße", "strasse strasse"),
        ("ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
        ("a\u00a0b\u2003c", "a b c"),
        ("", ""),
    ],
)
def test_normalise(text, expected):
    assert normalise(text) == expected


@given(st.text())
def test_normalised_text_has_single_spaces_inside_only(text):
    assert normalise(text) == " ".join(normalise(text).split())


@given(st.text(), st.sampled_from([" ", "\n", "\t\t", "\u2003"]))
def test_white_space_around_does_not_matter(text, space):
    assert normalise(space + text + space) == normalise(text)


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_file_of_a_spreadsheet_is_read_by_its_encoding(codec):
    assert decoded("id;Größe".encode(codec)) == "id;Größe"


def test_control_characters_are_not_printed():
    assert printable("a\x1b]0;owned\x07\x1b[31m\x00 b\r\n\tc\x9b") == "a]0;owned[31m b\n\tc"
    assert printable("paid \u202etxt.exe\u2066") == "paid txt.exe"


def test_tokens_are_a_set_of_words():
    assert tokens("The nurse, the NURSE's 3rd shift; café 東京") == {
        "the",
        "nurse",
        "s",
        "3rd",
        "shift",
        "café",
        "東",
        "東京",
        "京",
    }


def test_words_keep_order_and_split_scripts_without_spaces():
    assert words("Dr. Li 在北京 works") == ["dr", "li", "在", "在北", "北京", "京", "works"]
    assert words("คุณยาย") == ["คุ", "คุณ", "คุณย", "ณยา", "ยาย", "าย", "ย"]


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_unrelated_sentences_share_few_words_in_any_script(script):
    assert max(jaccard(*pair) for pair in combinations(script.sentences, 2)) < 0.3


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_one_other_word_makes_a_sentence_another_one_in_any_script(script):
    first = script.sentences[0]
    assert first.count(script.word) == 1
    assert jaccard(first, first.replace(script.word, script.instead)) < Config().dedup.lexical.threshold


@pytest.mark.parametrize("invisible", ["\u00ad", "\u200b", "\u200c", "\u200d", "\u200e", "\u2060", "\ufe0f", "\ufeff", "\u061c"])
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_what_is_not_seen_makes_no_difference(script, invisible):
    for sentence in script.sentences:
        marked = invisible.join(unicodedata.normalize("NFC", sentence))
        assert words(marked) == words(sentence)
        assert persona_id(marked) == persona_id(sentence)


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_composition_makes_no_difference(script, form):
    for sentence in script.sentences:
        assert words(unicodedata.normalize(form, sentence)) == words(sentence)
        assert persona_id(unicodedata.normalize(form, sentence)) == persona_id(sentence)


@pytest.mark.parametrize(
    ("pointed", "plain"),
    [("סַבְתָּא שֶׁשָּׁרָה", "סבתא ששרה"), ("جَدَّةٌ تُغَنِّي", "جدة تغني"), ("مـــرشـــد", "مرشد")],
)
def test_points_of_hebrew_and_arabic_make_no_other_word(pointed, plain):
    assert words(pointed) == words(plain)
    assert len(words(plain)) == len(plain.split())


@pytest.mark.parametrize("script", [script for name, script in SCRIPTS.items() if name not in UNSPACED], ids=str)
def test_marks_belong_to_their_letters(script):
    for sentence in script.sentences:
        assert len(words(sentence)) == len(re.split(r"[ ་,]+", sentence))


@given(st.text(st.characters(codec="ascii")))
def test_words_of_ascii_are_those_that_any_text_has(text):
    assert words(text) == [word for word in words(f"{text} é") if word != "é"]


@pytest.mark.parametrize(
    ("unit", "ngram", "expected"),
    [
        ("word", 2, {"a b", "b a", "b c"}),
        ("word", 9, {"a b a b c"}),
        ("character", 1, {"a", "b", "c", " "}),
        ("character", 3, {"a b", " a ", " b ", "b a", "b c"}),
    ],
)
def test_tokens_of_runs(unit, ngram, expected):
    assert tokens("A b a  b c", unit, ngram) == expected


@pytest.mark.parametrize("unit", ["word", "character"])
def test_a_text_without_words_has_no_tokens(unit):
    assert tokens("  ", unit, 2) == frozenset()


@given(st.lists(st.text(alphabet="abcé9_"), max_size=8))
def test_tokens_do_not_know_order_or_repetition(words):
    assert tokens(" ".join(words)) == tokens(" ".join(reversed(words + words)))


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("Short.", 100, "Short."),
        ("One two. Three four. Five six.", 22, "One two. Three four."),
        ("He said it (loudly.) Then more and more", 25, "He said it (loudly."),
        ("first line\nsecond line goes on", 15, "first line"),
        ("これは文です。つぎの文はながい。", 10, "これは文です。"),
        ("The value of pi is 3.14159 and so on", 22, "The value of pi is"),
        ("no end of a sentence here", 12, "no end of a"),
        ("x" * 30, 10, "x" * 10),
        ("A. " + "word " * 20, 50, "A. word word word word word word word word word"),  # the sentence ends too early
    ],
)
def test_cut_at_sentence(text, limit, expected):
    assert cut_at_sentence(text, limit) == expected


@given(st.text(alphabet="ab .!?\n。)\"'", max_size=60), st.integers(1, 40))
def test_a_cut_is_a_prefix_within_the_limit(text, limit):
    cut = cut_at_sentence(text, limit)
    assert text.startswith(cut)
    assert len(cut) <= limit or cut == text


@pytest.mark.parametrize(
    ("word", "prefix", "expected"),
    [
        ("synthesise", "", "; did you mean synthesize?"),
        ("documents2", "stage", "; did you mean stage.documents?"),
        ("zzz", "", "; known here: documents, synthesize"),
    ],
)
def test_nearest(word, prefix, expected):
    assert nearest(word, ["synthesize", "documents"], prefix) == expected


def test_nothing_is_near_where_nothing_is_known():
    assert nearest("a", []) == ""


@given(st.lists(st.sampled_from("ab"), max_size=40), st.lists(st.sampled_from("abc"), max_size=40))
def test_a_copied_run_is_the_first_that_stands_in_the_source(text, source):
    def runs(of):
        return [" ".join(of[at : at + COPIED_WORDS]) for at in range(len(of) - COPIED_WORDS + 1)]

    expected = next((run for run in runs(text) if run in runs(source)), None)
    assert copied_run(text, source, set(source)) == copied_run(text, source, set(source) & set(text)) == expected


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("\n[CODE] what happened\nmore", "[CODE] what happened"),
        (
            "thrown from the worker:\nTraceback (most recent call last):\n  File x\nOSError: [Errno 28] No space left\n\n",
            "OSError: [Errno 28] No space left",
        ),
        ("", ""),
    ],
)
def test_an_engines_message_is_told_in_a_line(message, line):
    assert error_line(message) == line
