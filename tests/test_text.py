import pytest
from hypothesis import given
from hypothesis import strategies as st

from personahub.text import cut_at_sentence, nearest, normalise, tokens, words


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


def test_tokens_are_a_set_of_words():
    assert tokens("The nurse, the NURSE's 3rd shift; café 東京") == {"the", "nurse", "s", "3rd", "shift", "café", "東", "京"}


def test_words_keep_order_and_split_scripts_without_spaces():
    assert words("Dr. Li 在北京 works") == ["dr", "li", "在", "北", "京", "works"]


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
