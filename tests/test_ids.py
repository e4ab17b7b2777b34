import pytest
from hypothesis import given
from hypothesis import strategies as st

from personahub import ids

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
PROMPT = {
    "prompt_name": "text_to_persona",
    "prompt_version": "1",
    "answer_schema": {"type": "object"},
    "model": "mock",
    "generation_params": {"max_tokens": 1024},
}
VARIABLES = {"text": "The tide tables.", "relations": ["read", "write"]}


def completion_id(variables=VARIABLES, sample_index=0, **change):
    return ids.completion_ids(**{**PROMPT, **change})(ids.canonical_json(variables), sample_index)


def test_ids_are_pinned():
    """A change here would buy every answer of every hub again."""
    assert ids.content_id("") == "cae66941d9efbd404e4d88758ea67670"
    assert ids.persona_id("A marine biologist") == ids.content_id("a marine biologist")
    assert ids.persona_id("A marine biologist") == "58322cd7378edd9ca3400f13f9dfe7fe"
    assert completion_id() == "10eb3d569a0f13f4150f6b83557f7ab6"
    assert ids.reject_id("documents", "a/b.json.gz/3", None, "too_short") == "89c27e3a83be661ec9d93a40e6921472"
    assert ids.seed("few-shot", "math") == 10456213649712123922


def test_canonical_json_is_one_text():
    assert ids.canonical_json({"b": [1, 2.5, None], "a": {"ü": True}}) == '{"a":{"ü":true},"b":[1,2.5,null]}'


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_canonical_json_does_not_know_the_order_of_keys(value):
    assert ids.canonical_json(dict(reversed(list(value.items())))) == ids.canonical_json(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_canonical_json_refuses_what_json_cannot_say(value):
    with pytest.raises(ValueError, match="JSON"):
        ids.canonical_json(value)


@given(st.text())
def test_any_text_has_an_id(text):
    assert len(ids.content_id(text)) == 32
    assert set(ids.content_id(text)) <= set("0123456789abcdef")


def test_lone_surrogates_are_told_apart():
    assert ids.content_id("\ud800") != ids.content_id("\ud801")


@pytest.mark.parametrize("same", ["a MARINE biologist", "  A marine\n\tbiologist ", "A marine biologist", "Ａ marine biologist"])
def test_a_persona_is_its_normalised_text(same):
    assert ids.persona_id(same) == ids.persona_id("A marine biologist")


@pytest.mark.parametrize(
    "change",
    [
        {"prompt_name": "math"},
        {"prompt_version": "2"},
        {"variables": {"text": "The tide tables", "relations": ["read", "write"]}},
        {"variables": {"text": "The tide tables.", "relations": ["write", "read"]}},
        {"answer_schema": None},
        {"model": "other"},
        {"generation_params": {"max_tokens": 1024, "temperature": 0}},
        {"sample_index": 1},
    ],
)
def test_whatever_can_change_the_answer_changes_the_completion_id(change):
    assert completion_id(**change) != completion_id()


@given(st.dictionaries(st.text(), JSON, max_size=3), st.dictionaries(st.text(), JSON, max_size=3), st.text(), st.integers(0, 9))
def test_a_completion_id_is_that_of_all_that_can_change_the_answer(variables, params, model, number):
    whole = {**PROMPT, "generation_params": params, "model": model, "variables": variables, "sample_index": number}
    told = completion_id(variables, number, generation_params=params, model=model)
    assert told == ids.content_id(ids.canonical_json(whole))


def test_a_reject_is_one_item_of_one_source():
    one = ids.reject_id("synthesize", "p", "c", "invalid")
    others = [
        ids.reject_id("synthesize", "p", "c", "invalid", 1),
        ids.reject_id("synthesize", "p", "d", "invalid"),
        ids.reject_id("synthesize", "p", None, "invalid"),
        ids.reject_id("synthesize", "q", "c", "invalid"),
    ]
    assert len({one, *others}) == 5


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_a_seed_has_64_bits(parts):
    assert 0 <= ids.seed(*parts) < 2**64


def test_seeds_do_not_run_their_parts_together():
    assert ids.seed("ab", "c") != ids.seed("a", "bc")
