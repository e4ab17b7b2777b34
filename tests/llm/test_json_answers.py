"""What is found in the text of an answer, and what is said about a wrong one."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personahub.errors import ConfigError
from personahub.llm import json_answers

PERSONA = {"persona": "A nurse who bakes."}


@pytest.mark.parametrize(
    "text",
    [
        '{"persona": "A nurse who bakes."}',
        '\ufeff  {"persona": "A nurse who bakes."}\n',
        '```json\n{"persona": "A nurse who bakes."}\n```',
        'Sure! Here it is:\n```\n{"persona": "A nurse who bakes."}\n```\nAnything else?',
        'Here is the persona [1]: {"persona": "A nurse who bakes."} I hope {this} helps.',
        '<think>{"persona": "a draft"} no, better:</think>{"persona": "A nurse who bakes."}',
        'the template opened it {"persona": "a draft"}</think>\n{"persona": "A nurse who bakes."}',
        '{"persona": "A nurse who bakes.",}',
        "{'persona': 'A nurse who bakes.'}",
        '[THINK]{"persona": "a draft, and a long one"}[/THINK]{"persona": "A nurse who bakes."}',
        '<seed:think>{"persona": "a draft, and a long one"}</seed:think>Here: {"persona": "A nurse who bakes."}',
        '<thought>{"persona": "a draft, and a long one"}</thought>\n{"persona": "A nurse who bakes."}',
        '<|begin_of_thought|>{"persona": "a draft"}<|end_of_thought|>{"persona": "A nurse who bakes."}',
        '◁think▷{"persona": "a draft"}◁/think▷{"persona": "A nurse who bakes."}',
        '<|channel|>analysis<|message|>{"persona": "a draft"}<|end|><|start|>assistant<|channel|>final<|message|>'
        '{"persona": "A nurse who bakes."}<|return|>',
        '<|channel|>analysis<|message|>x<|end|><|channel|>final <|constrain|>json<|message|>{"persona": "A nurse who bakes."}',
        'analysisPerhaps {"persona": "a draft"}.assistantfinal{"persona": "A nurse who bakes."}',
        '{{"persona": "A nurse who bakes."}',
        '// by {me}, in [0, 1)\n{"persona": "A nurse who bakes.",}',
    ],
)
def test_one_value_in_many_wrappings(text):
    assert json_answers.extract(text) == PERSONA


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n",
        "I cannot help with that.",
        '<think>{"persona": "never closed"}',
        "<think>x</think>",
        'Well. [THINK] {"persona": "never closed"}',
        '<|channel|>analysis<|message|>{"persona": "no final"}',
        "see note 3 (p. 4)",
    ],
)
def test_text_without_json_is_a_clear_failure(text):
    with pytest.raises(json_answers.NoJson, match=r"holds no JSON|is blank"):
        json_answers.extract(text)


def test_the_longest_object_wins_and_a_list_of_objects_is_one_value():
    assert json_answers.extract('For example {"a": 1}. Answer: {"a": 1, "b": [2, 3]}') == {"a": 1, "b": [2, 3]}
    assert json_answers.extract('Answer: [{"a": 1}, {"a": 2}] done') == [{"a": 1}, {"a": 2}]


def test_of_several_values_the_last_that_satisfies_the_schema_is_the_answer(persona_schema):
    draft, answer = (
        {"personas": [{"relation": "read", "persona": persona}]} for persona in ("A draft, much too long.", "A nurse.")
    )
    said = f"First: {json.dumps(draft)} Shorter: {json.dumps(answer)} (see [1] and {{}})"
    check = json_answers.check(persona_schema)
    assert json_answers.extract(said, check) == answer
    assert json_answers.extract(said) == draft  # nothing tells them apart
    assert json_answers.read(said, None, None, prefers=check).value == answer
    assert json_answers.extract(said.replace('"}]} (', '",}]} ('), check) == answer  # repaired, and the last all the same
    fenced = f"```json\n{json.dumps(draft)}\n```\nShorter:\n```json\n{json.dumps(answer)}\n```"
    assert json_answers.extract(fenced, check) == answer


@pytest.mark.parametrize("around", ["{}", "Sure: {}", "```json\n{}\n```", "```json\n{}", "<think>x</think>{}"])
@pytest.mark.parametrize("damage", [("", ""), ("}, {", "},, {"), ('"', "'")])
def test_a_value_that_is_cut_anywhere_is_no_answer(around, damage):
    value = (
        '{"personas": [{"relation": "read", "persona": "A nurse, {so} she says."}, {"relation": "like", "persona": "A baker."}]}'
    )
    value = value.replace(*damage) if damage[0] else value
    assert json_answers.extract(around.format(value))["personas"][1] == {"relation": "like", "persona": "A baker."}
    for end in range(1, len(value)):
        with pytest.raises(json_answers.NoJson):
            json_answers.extract(around.format(value[:end]))
    assert json_answers.read(around.format(value[:60]), None, None).reason == "truncated"


def test_quotation_marks_within_a_sentence_are_mended():
    text = '{"personas": [{"persona": "A man with a 5" nail and a "real" house."}]}'
    assert json_answers.extract(text)["personas"][0]["persona"].startswith("A man with a 5")


def test_a_mark_of_thoughts_within_the_answer_is_a_word_of_it():
    for text in ('{"persona": "Likes </think> tags."}', '```json\n{"persona": "Likes </think> tags."}\n```'):
        assert json_answers.extract(text) == {"persona": "Likes </think> tags."}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3),
    max_leaves=8,
)


@given(value=st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1), JSON, min_size=1, max_size=3))
@settings(max_examples=100, deadline=None)
def test_valid_json_comes_back_as_it_was(value):
    text = json.dumps(value)
    if "think" not in text.lower() and "reasoning" not in text.lower():
        assert json_answers.extract(text) == value


@given(text=st.text(max_size=300) | st.text("{}[]\"',:ab`<think>/ \n", max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_text_gives_a_value_or_no_json(text):
    try:
        json_answers.extract(text)
    except json_answers.NoJson:
        pass


@pytest.mark.parametrize("text", ["[" * 50_000, '{"a":' * 20_000, "{" * 9_000, '{"a": ["' + 'x" y "' * 20_000])
def test_hostile_text_ends_soon(text):
    # parsing runs in the loop that all calls share
    started = time.perf_counter()
    with pytest.raises(json_answers.NoJson):
        json_answers.extract(text)
    assert time.perf_counter() - started < 5


def test_check_says_where_and_why(persona_schema):
    satisfies = json_answers.check(persona_schema)
    assert satisfies({"personas": [{"relation": "read", "persona": "A nurse."}]}) is None
    assert "personas" in satisfies({})
    wrong = satisfies({"personas": [{"relation": "hate", "persona": "A nurse."}]})
    assert wrong.startswith("the answer.personas[0].relation must be one of")


def test_check_compiles_a_schema_once_whatever_its_order(persona_schema):
    turned = dict(reversed(persona_schema.items()))
    assert json_answers.check(persona_schema) is json_answers.check(turned)


def test_check_adds_no_defaults():
    value = {}
    schema = {"type": "object", "properties": {"a": {"type": "string", "default": "x"}}}
    assert json_answers.check(schema)(value) is None
    assert value == {}


def test_check_refuses_what_is_no_schema():
    with pytest.raises(ConfigError, match="not a valid JSON Schema"):
        json_answers.check({"type": "no such type"})


@pytest.mark.parametrize("scheme", ["http", "HTTPS", "ftp", "file", "data"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_schema_that_leads_elsewhere_is_refused_and_nothing_is_opened(monkeypatch, scheme, whole):
    opened = []
    monkeypatch.setattr("urllib.request.urlopen", lambda uri, *_: opened.append(uri))
    elsewhere = f"{scheme}://127.0.0.1:9/a.json"
    schema = {"$ref": elsewhere} if whole else {"$id": elsewhere, "properties": {"n": {"$ref": "b.json#/c"}}}
    with pytest.raises(ConfigError, match="leads out of the schema"):
        json_answers.check({"type": "object", **schema})
    assert opened == []


def test_a_schema_may_refer_to_its_own_parts():
    check = json_answers.check({"$defs": {"n": {"type": "integer"}}, "properties": {"n": {"$ref": "#/$defs/n"}}})
    assert check({"n": 1}) is None
    assert check({"n": "1"}) is not None


def test_describe_holds_the_schema_between_its_markers(persona_schema):
    described = json_answers.describe(persona_schema)
    inside = described.split(json_answers.SCHEMA_OPEN)[1].split(json_answers.SCHEMA_CLOSE)[0]
    assert json.loads(inside) == persona_schema
    assert "JSON" in described.split(json_answers.SCHEMA_OPEN)[0]
