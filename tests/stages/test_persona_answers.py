"""Answers become personas or rejects, and these the rows of the tables."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personahub.config import PersonaFilters
from personahub.filters import Shown
from personahub.stages import persona_answers

TEXT = "Stir 300 g of rye flour into the starter. It will smell of apples by morning; the dome should just begin to crack."
BAKER = "A home baker who has kept one rye starter alive for ten years."
MILLER = "A miller who sells stone-ground rye to village bakeries."
RELATIONS = ("read", "write", "like", "dislike")


def answer(*pairs):
    return json.dumps({"personas": [{"relation": relation, "persona": persona} for relation, persona in pairs]})


def parse(text, relations=("read",), **change):
    kind = change.pop("error_kind", None)
    return persona_answers.parse_answer(text, kind, kind and f"it was {kind}", list(relations), Shown(TEXT), PersonaFilters())


def reasons(items):
    return [item.reason for item in items]


def test_an_answer_becomes_one_item_per_persona():
    items = parse(answer(("read", f" {BAKER}\n"), ("Write ", MILLER)), ["read", "write"])
    assert [(item.relation, item.persona, item.reason, item.position) for item in items] == [
        ("read", BAKER, None, 0),
        ("write", MILLER, None, 1),
    ]
    assert items[0].language == "en"


def test_fences_and_a_bare_list_are_read_too():
    assert reasons(parse(f"Here you are:\n```json\n{answer(('read', BAKER))}\n```")) == [None]
    assert reasons(parse(json.dumps(json.loads(answer(("read", BAKER)))["personas"]))) == [None]


@pytest.mark.parametrize("kind", ["refused", "truncated", "empty", "invalid", "bad_request", "content_filter"])
def test_a_completion_that_is_no_answer_is_one_reject_with_its_kind(kind):
    (item,) = parse("some text", error_kind=kind)
    assert (item.reason, item.detail, item.raw) == (kind, f"it was {kind}", "some text")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, ["empty"]),
        ("I would rather not.", ["invalid"]),
        ('{"people": []}', ["invalid"]),
        ('{"personas": "a baker"}', ["invalid"]),
        ('{"personas": []}', ["no_personas"]),
        ('{"personas": [7]}', ["invalid", "missing_relation"]),
        ('{"personas": [{"relation": "read", "persona": null}]}', ["invalid", "missing_relation"]),
        (answer(("eat", BAKER)), ["unknown_relation", "missing_relation"]),
        (answer(("read", BAKER), ("write", MILLER)), [None, "unknown_relation"]),
        (answer(("read", "N/A")), ["not_a_person"]),
        (answer(("read", "")), ["not_a_person"]),
        (answer(("read", "A baker")), ["too_short"]),
        (answer(("read", "I'm sorry, but I can't help with that.")), ["refusal"]),
        (answer(("read", "A baker who can be reached at anna@example.org for bread.")), ["contact"]),
    ],
)
def test_what_is_refused_and_why(text, expected):
    assert reasons(parse(text)) == expected


def test_a_relation_that_is_left_out_is_a_reject_of_its_own_position():
    items = parse(answer(("like", BAKER)), ["read", "like", "dislike"])
    assert [(item.relation, item.reason, item.position) for item in items] == [
        ("like", None, 0),
        ("read", "missing_relation", 1),
        ("dislike", "missing_relation", 2),
    ]


def test_a_refused_persona_does_not_make_its_relation_missing():
    assert reasons(parse(answer(("read", "A baker")), ["read"])) == ["too_short"]


def test_half_a_surrogate_pair_becomes_storable():
    (item,) = parse('{"personas": [{"relation": "read", "persona": "A baker of \\ud83d rye who keeps one starter alive."}]}')
    assert item.reason is None
    assert item.persona == "A baker of ? rye who keeps one starter alive."


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.sampled_from(["read", "like", BAKER]),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["personas", "relation", "persona", "x"]) | st.text(), inner),
)


@given(
    text=st.none() | st.text() | JSON.map(json.dumps) | JSON.map(lambda value: json.dumps({"personas": value})),
    relations=st.lists(st.sampled_from(RELATIONS), min_size=1, unique=True),
    error_kind=st.none() | st.just("truncated"),
)
def test_any_completion_gives_at_least_one_item_each_at_its_own_position(text, relations, error_kind):
    items = parse(text, relations, error_kind=error_kind)
    assert items
    assert len({item.position for item in items}) == len(items)
    for item in items:
        assert (item.reason is None) == (item.persona is not None)
        row = persona_answers.row_of("stage", "d", "c", item)
        assert all(value is None or not isinstance(value, str) or value.encode() is not None for value in row.values())
        assert len(row.get("raw") or "") <= persona_answers.RAW_CHARACTERS
