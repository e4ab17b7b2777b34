import json

from personahub import ids, prompts, schemas
from personahub.config import Config, Model, PersonaFilters, Personas, TextToPersona, load
from personahub.stages import persona_answers
from personahub.stages import text_to_persona as ttp

TEXT = "Stir 300 g of rye flour into the starter. It will smell of apples by morning; the dome should just begin to crack."
BAKER = "A home baker who has kept one rye starter alive for ten years."
MILLER = "A miller who sells stone-ground rye to village bakeries."


def answer(*pairs):
    return json.dumps({"personas": [{"relation": relation, "persona": persona} for relation, persona in pairs]})


# -- the requests of one text ---------------------------------------------------------------------------------------------------------


def asked(settings, text=TEXT):
    completion_id = prompts.load(ttp.PROMPT).completion_ids(Model())
    return {
        tuple(variables["relations"]): (index, completion_id(ids.canonical_json(variables), index))
        for index, variables in ttp.variables_of(text, settings)
    }


def test_one_call_asks_for_all_relations_by_default_and_each_its_own_if_told():
    assert list(asked(TextToPersona())) == [("read", "write", "like", "dislike")]
    each = asked(TextToPersona(relations_per_request=1))
    assert [(relations, index) for relations, (index, _) in each.items()] == [
        (("read",), 0),
        (("write",), 1),
        (("like",), 2),
        (("dislike",), 3),
    ]
    assert len({completion_id for _, completion_id in each.values()}) == 4
    assert list(asked(TextToPersona(relations_per_request=3))) == [("read", "write", "like"), ("dislike",)]


def test_the_order_of_the_config_and_other_relations_buy_nothing_again():
    assert asked(TextToPersona(relations=("like", "read"))) == asked(TextToPersona(relations=("read", "like", "read")))
    few = asked(TextToPersona(relations=("dislike", "like"), relations_per_request=1))
    assert few.items() <= asked(TextToPersona(relations_per_request=1)).items()


def test_what_changes_the_prompt_changes_the_id():
    ids_ = {
        completion_id
        for change in ({}, {"granularity": "finest"}, {"personas_per_relation": 2}, {"max_text_characters": 60})
        for _, completion_id in asked(TextToPersona(**change)).values()
    }
    assert len(ids_) == 4


def test_a_long_text_is_cut_at_a_sentence_and_a_blank_one_is_not_asked_about():
    ((_, variables),) = ttp.variables_of(TEXT, TextToPersona(max_text_characters=60))
    assert variables["text"] == "Stir 300 g of rye flour into the starter."
    assert not list(ttp.variables_of(None, TextToPersona())) + list(ttp.variables_of(" \n", TextToPersona()))


# -- in Spark ----------------------------------------------------------------------------------------------------------------------------


def documents(spark, *rows):
    return spark.createDataFrame([(name, "jsonl", None, "en", text, {}) for name, text in rows], schemas.DOCUMENTS)


def completions(spark, *rows):
    """rows: (completion_id, text, error_kind, final)."""
    told = [
        {"completion_id": name, "text": text, "error_kind": kind, "error_message": kind, "final": final}
        for name, text, kind, final in rows
    ]
    full = [tuple({**dict.fromkeys(schemas.COMPLETIONS.names), **row}.values()) for row in told]
    return spark.createDataFrame(full, schemas.COMPLETIONS)


def test_two_ids_with_one_text_are_one_call_two_lineage_rows_and_one_persona(spark):
    config = Config()
    requests = ttp.build(documents(spark, ("a", TEXT), ("b", TEXT), ("c", "Another text altogether."), ("d", "  ")), config)
    assert requests.schema == schemas.REQUESTS
    rows = {row.source_id: row for row in requests.collect()}
    assert rows.keys() == {"a", "b", "c"}
    one, other = rows["a"].completion_id, rows["c"].completion_id
    assert rows["b"].completion_id == one != other
    assert (rows["a"].stage, rows["a"].sample_index, rows["a"].prompt_name) == ("text-to-persona", 0, "text_to_persona")
    assert rows["a"].variables == ids.canonical_json(json.loads(rows["a"].variables))

    shouted = BAKER.upper()
    text = answer(("read", BAKER), ("write", MILLER), ("like", shouted), ("dislike", "N/A"))
    ledger = completions(spark, (one, text, None, True), (other, "late", "timeout", False))
    parsed = ttp.parse(requests, ledger, config)
    assert parsed.schema == persona_answers.PARSED
    people, lineage, rejects = persona_answers.split(parsed, "run-1")

    assert people.schema == schemas.PERSONAS
    assert {tuple(row) for row in people.collect()} == {
        (ids.persona_id(BAKER), BAKER, 0, "en"),
        (ids.persona_id(MILLER), MILLER, 0, "en"),
    }
    assert lineage.schema == schemas.LINEAGE
    assert sorted((row.parent_id, row.relation) for row in lineage.collect()) == [
        (source, relation) for source in "ab" for relation in ("like", "read", "write")
    ]
    found = {row.source_id: row for row in rejects.collect()}
    assert [field.name for field in rejects.schema] == schemas.REJECTS.names
    assert found.keys() == {"a", "b"}
    assert found["a"].reason == "not_a_person"
    assert found["a"].raw == "N/A"
    assert found["a"].run_id == "run-1"
    assert found["a"].reject_id == ids.reject_id("text-to-persona", "a", one, "not_a_person", 3)


def test_a_persona_found_twice_keeps_the_surface_form_of_its_first_discovery(spark):
    config = Config()
    requests = ttp.build(documents(spark, ("a", TEXT), ("b", "Another text altogether.")), config)
    by_id = sorted(row.completion_id for row in requests.collect())
    forms = [("read", BAKER.upper()), ("write", BAKER.lower())]
    ledger = completions(spark, (by_id[0], answer(*forms), None, True), (by_id[1], answer(("read", BAKER)), None, True))
    people, lineage, _ = persona_answers.split(ttp.parse(requests, ledger, config), "run-1")
    assert [row.persona for row in people.collect()] == [BAKER.upper()]
    assert lineage.count() == 3


def test_every_final_completion_leads_to_a_row(spark):
    config = Config(text_to_persona=TextToPersona(relations_per_request=1))
    requests = ttp.build(documents(spark, ("a", TEXT)), config)
    names = [row.completion_id for row in requests.orderBy("sample_index").collect()]
    ledger = completions(
        spark,
        (names[0], answer(("read", MILLER)), None, True),
        (names[1], None, "refused", True),
        (names[2], "x" * 5000, None, True),
    )
    rows = ttp.parse(requests, ledger, config).collect()
    assert {row.completion_id: row.reason for row in rows} == {names[0]: None, names[1]: "refused", names[2]: "invalid"}
    assert max(len(row.raw or "") for row in rows) == 2000


def test_imported_personas_pass_the_same_filters(spark):
    config = Config(personas=Personas(filters=PersonaFilters(max_words=13)))
    rows = documents(spark, ("f.jsonl/0", f"  {BAKER}"), ("f.jsonl/1", MILLER), ("f.jsonl/2", "x"), ("f.jsonl/3", BAKER.upper()))
    people, lineage, rejects = persona_answers.split(ttp.imported(rows, config), "run-1")
    assert {row.persona for row in people.collect()} == {BAKER, MILLER}
    assert {(row.parent_id, row.relation, row.completion_id) for row in lineage.collect()} == {
        ("f.jsonl/0", "import", None),
        ("f.jsonl/1", "import", None),
        ("f.jsonl/3", "import", None),
    }
    assert [(row.stage, row.source_id, row.reason, row.completion_id) for row in rejects.collect()] == [
        ("import", "f.jsonl/2", "too_short", None)
    ]


def test_the_default_settings_and_those_of_an_overlay_ask_the_same(tmp_path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("# a comment\ntext_to_persona:\n  relations: [dislike, like, write, read]\n  granularity: fine\n")
    assert asked(load([overlay]).text_to_persona) == asked(Config().text_to_persona)
