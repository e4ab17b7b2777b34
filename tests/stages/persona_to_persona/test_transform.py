"""Who is asked for which relations, and what the answers become."""

import json

import pytest

from personahub import ids, schemas
from personahub.config import Config, PersonaToPersona, load
from personahub.errors import ConfigError
from personahub.stages import persona_answers
from personahub.stages.persona_to_persona import transform as ptp

PARENT = "A night nurse in a small coastal hospital who keeps a record of every storm since 1981."
CHILD = "A ten-year-old who waits for the night bus with a homemade barometer in a school bag."
COLLEAGUE = "A porter who wheels patients past the sea windows and knows each of them by their slippers."
ITALIAN = "Un giovane pescatore che ripara le reti di notte e ascolta le previsioni del tempo alla radio."


def test_our_relations_are_many_and_read_as_sentences():
    relations = ptp.load_relations(None)
    assert len({relation.name for relation in relations}) == len(relations) >= 40
    assert not [relation for relation in relations if relation.who.startswith("someone") or relation.who.endswith(".")]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("family: [{name: child}]", "family: .*not of the form"),
        ("family: [{name: child, who: is young}]\nwork: [{name: Child, who: learns}]", "work: 'Child' is empty or stands twice"),
        ("family: [{name: read, who: reads}]", "'read' is a relation to a text"),
        ("[]", "holds no relations"),
        ("family: [", "can not be read"),
    ],
)
def test_a_file_of_relations_that_is_wrong_is_told_with_its_entry(tmp_path, text, match):
    path = tmp_path / "relations.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=match):
        ptp.load_relations(str(path))


def test_the_relations_of_a_persona_follow_from_its_id_and_none_is_asked_for_twice():
    relations = ptp.load_relations(None)
    names = [f"{number:032x}" for number in range(200)]
    chosen = {name: [one.name for one in ptp.relations_of(name, relations, 3)] for name in names}
    assert chosen == {name: [one.name for one in ptp.relations_of(name, tuple(reversed(relations)), 3)] for name in names}
    assert {relation for three in chosen.values() for relation in three} == {relation.name for relation in relations}
    for name, three in chosen.items():
        assert not ptp.relations_of(name, relations, 3, three)
        assert [one.name for one in ptp.relations_of(name, relations, 5, three)] not in ([], three)
        assert len({*three, *(one.name for one in ptp.relations_of(name, relations, 5, three))}) == 5


def frontier(spark, *rows):
    return spark.createDataFrame(list(rows), "persona_id string, persona string, asked array<string>")


def completions(spark, *rows):
    """rows: (completion_id, text)."""
    told = [{"completion_id": name, "text": text, "final": True} for name, text in rows]
    full = [tuple({**dict.fromkeys(schemas.COMPLETIONS.names), **row}.values()) for row in told]
    return spark.createDataFrame(full, schemas.COMPLETIONS)


def test_one_request_a_persona_and_a_later_one_for_what_is_new_alone(spark):
    few, more = (Config(persona_to_persona=PersonaToPersona(relations_per_request=count)) for count in (2, 3))
    [first] = ptp.build(frontier(spark, ("a" * 32, PARENT, None)), few).collect()
    asked = [relation["name"] for relation in json.loads(first.variables)["relations"]]
    assert (first.stage, first.source_id, first.sample_index, len(asked)) == ("persona-to-persona", "a" * 32, 0, 2)
    assert ptp.build(frontier(spark, ("a" * 32, PARENT, asked)), few).isEmpty()
    [later] = ptp.build(frontier(spark, ("a" * 32, PARENT, asked)), more).collect()
    assert later.sample_index == 2
    assert {relation["name"] for relation in json.loads(later.variables)["relations"]}.isdisjoint(asked)


def test_answers_become_children_of_the_hop_and_rejects_by_name(spark):
    config = load(overrides=["persona_to_persona.relations_per_request=6"])
    [request] = (requests := ptp.build(frontier(spark, ("a" * 32, PARENT, None)), config)).collect()
    names = [relation["name"] for relation in json.loads(request.variables)["relations"]]
    told = [CHILD, PARENT.replace("A night nurse", "The night nurse"), ITALIAN, "", "A sister of Maria Gonzalez, a night nurse."]
    answer = {"personas": [{"relation": name, "persona": text} for name, text in zip(names, told, strict=False)]}
    parsed = ptp.parse(requests, completions(spark, (request.completion_id, json.dumps(answer))), config, 3)
    assert parsed.schema == persona_answers.PARSED
    rows = {row.relation: row for row in parsed.collect()}
    assert [rows[name].reason for name in names] == [
        *(None, "repeats_parent", "other_language", "not_a_person", "names_a_person", "missing_relation")
    ]
    assert (rows[names[0]].persona_id, rows[names[0]].hop) == (ids.persona_id(CHILD), 3)
    assert rows[names[2]].raw == ITALIAN
    people, lineage, rejects = persona_answers.split(parsed, "run-1")
    assert [tuple(row) for row in lineage.collect()] == [(ids.persona_id(CHILD), "a" * 32, names[0], request.completion_id)]
    assert (people.count(), rejects.count()) == (1, 5)


@pytest.mark.parametrize(
    ("child", "same"),
    [
        ("A landscape designer and architect who plans the gardens of a children's hospital", True),
        ("The designer or architect", True),
        ("A children's architect", True),
        ("The landscape architect who was asked to plan another clinic after the flood", True),
        ("The architect's assistant who draws each bench twice", False),
        ("A landscape gardener who waters what was planted at the hospital", False),
        ("A patient in a hospital", False),
    ],
)
def test_a_child_is_not_its_parent_again(child, same):
    parent = "A landscape designer or architect who plans gardens for a children's hospital"
    found = ptp._another_person(persona_answers.Item(0, "colleague", child, "en"), parent)
    assert (found.reason == "repeats_parent") == same
    assert (found.persona is None) == same


def test_who_is_an_ancestor_is_refused_under_an_id_of_its_own(spark):
    config = load(overrides=["persona_to_persona.relations_per_request=2"])
    [request] = (requests := ptp.build(frontier(spark, ("a" * 32, PARENT, None)), config)).collect()
    names = [relation["name"] for relation in json.loads(request.variables)["relations"]]
    answer = {"personas": [{"relation": name, "persona": text} for name, text in zip(names, (CHILD, COLLEAGUE), strict=True)]}
    parsed = ptp.parse(requests, completions(spark, (request.completion_id, json.dumps(answer))), config, 1)
    marked = parsed.selectExpr("*", f"if(relation = '{names[1]}', true, null) as cycle")
    rows = {row.relation: row for row in ptp.refuse_ancestors(marked).collect()}
    assert [rows[name].reason for name in names] == [None, "own_ancestor"]
    assert rows[names[1]].raw == COLLEAGUE
    assert rows[names[1]].reject_id == ids.reject_id(ptp.NAME, "a" * 32, request.completion_id, "own_ancestor", 1)
