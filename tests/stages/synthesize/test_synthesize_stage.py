"""Synthesis against the mock server: every task in every mode, whom it asks, and as many accepted examples as are wanted."""

import csv
import io
import json
from collections import Counter

import fastjsonschema
import pytest

from personahub import inference, mockserver, pipeline
from personahub.config import load
from personahub.errors import ConfigError, InputError, TransientFailures
from personahub.inference import PurchaseResult
from personahub.stages import synthesize
from personahub.stages.synthesize.persona_selection import chosen_personas
from personahub.stages.synthesize.tasks import choose

PERSONAS = [f"A keeper of bees from valley {n} who draws maps of every orchard within {n} miles" for n in range(30)]
STAGE = "synthesize"
LORE = (
    "The world is called Saltmarch. In the north the Reedfolk live by the Mire of Ossen, and they fear the Drowned. Of the callings the "
    "Wardens keep the lamps of Tirrel, and among the traders the Saltwives are known in all of Harrow."
)


@pytest.fixture(scope="module")
def endpoint():
    with mockserver.start(port=0, capacity=64, median=0.01, sigma=0.3) as server:
        yield server


@pytest.fixture(scope="module")
def declining():
    """Four in ten answers are refusals."""
    with mockserver.start(port=0, capacity=64, median=0.01, sigma=0.3, fault_rate=0.4, faults=("refusal",)) as server:
        yield server


@pytest.fixture
def config_of(tmp_path, spark, endpoint):
    def make(*overrides, server=endpoint):
        base = [
            f"root={tmp_path / 'hub'}", f"models.default.base_url={server.base_url}", "models.default.api_key_env=null",
            "models.default.response_format=json_schema",
        ]  # fmt: skip
        return load(overrides=[*base, *overrides])

    return make


@pytest.fixture
def files(tmp_path):
    (tmp_path / "lore.md").write_text(LORE)
    rows = [{"text": f"How many tides does mill {number} need?", "persona": f"Miller {number}."} for number in range(9)]
    (tmp_path / "examples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def imported(config, tmp_path, texts=PERSONAS):
    path = tmp_path / "personas.jsonl"
    path.write_text("".join(json.dumps({"persona": text}) + "\n" for text in texts))
    with pipeline.open_hub(config, spend=True) as hub:
        pipeline.import_personas(hub, pipeline.personas_file(str(path)))
        list(pipeline.run(hub, ["dedup"]))


def run(config):
    with pipeline.open_hub(config, spend=True) as hub:
        (result,) = pipeline.run(hub, [STAGE])
        return result.counts, hub.store.table("examples").collect(), hub.store.table("rejects").collect()


def test_every_task_in_every_mode(config_of, files, endpoint):
    entries = ["math", "logic", "instruction", "knowledge", {"name": "npc", "lore": str(files / "lore.md")}, "tool"]
    entries += [{"name": "tool", "part": "interface and code"}, {"name": "logic", "kind": "spatial"}]
    tasks = f"synthesis.tasks={json.dumps(entries)}"
    imported(config_of(), files, PERSONAS[:6])
    endpoint.reset()
    for mode in ("zero_shot", "few_shot", "persona_few_shot"):
        config = config_of(tasks, f"synthesis.mode={mode}", f"synthesis.few_shot.file={files / 'examples.jsonl'}")
        with pipeline.open_hub(config) as hub:
            assert "answered before" not in str(pipeline.estimates(hub, [STAGE]))  # in another mode is not
        counts, examples, rejects = run(config)
        made = [row for row in examples if row.mode == mode]
        assert counts["calls"] == 6 * len(entries)
        assert counts["examples"] + counts["rejects"] == counts["calls"]
        assert Counter(row.task for row in made).keys() == {"math", "logic", "instruction", "knowledge", "npc", "tool"}
        known = {task.name: task for task in choose(config).values()}
        for row in made:
            fastjsonschema.validate(known[row.task].schema, json.loads(row.content))
        assert all(row.reason for row in rejects)
        assert counts["examples"] > 0.8 * counts["calls"]
        assert run(config)[0]["calls"] == 0
    assert endpoint.stats()["bought_twice"] == 0


def test_exactly_so_many_are_accepted(config_of, tmp_path, declining):
    config = config_of("synthesis.target_accepted=12", 'synthesis.tasks=["math", "instruction"]', server=declining)
    imported(config, tmp_path)
    counts, examples, rejects = run(config)
    assert Counter(row.task for row in examples) == {"math": 12, "instruction": 12}
    assert counts["calls"] == 24 + len(rejects)
    assert len(rejects) > 0
    again, examples, _ = run(config)
    assert (again["calls"], len(examples)) == (0, 24)
    more, examples, _ = run(
        config_of("synthesis.target_accepted=14", 'synthesis.tasks=["math", "instruction"]', server=declining)
    )
    assert Counter(row.task for row in examples) == {"math": 14, "instruction": 14}
    assert more["calls"] >= 4


def test_what_a_preview_buys_a_run_with_a_target_asks_too(config_of, tmp_path, endpoint):
    config = config_of("synthesis.target_accepted=3", 'synthesis.tasks=["math", "instruction"]')
    imported(config, tmp_path)
    endpoint.reset()
    with pipeline.open_hub(config, spend=True) as hub:
        assert len(pipeline.preview(hub, STAGE, 5)) == 5
    counts, examples, rejects = run(config)
    assert counts["reused"] == 5
    assert counts["calls"] + 5 == len(examples) + len(rejects)
    assert endpoint.stats()["bought_twice"] == 0


def test_candidates_end_where_the_budget_or_the_hub_ends(config_of, tmp_path, declining):
    config = config_of("synthesis.target_accepted=12", "synthesis.max_candidates=13", server=declining)
    imported(config, tmp_path)
    counts, examples, rejects = run(config)
    assert counts["calls"] == 13 == len(examples) + len(rejects)
    assert counts["missing"] == 12 - len(examples)
    config = config_of("synthesis.target_accepted=31", server=declining)
    counts, examples, _ = run(config)
    assert counts["calls"] == 30 - 13
    assert counts["missing"] == 31 - len(examples)
    with pipeline.open_hub(config) as hub:  # what the ledger holds is not offered once more
        assert sum(one.calls for one in synthesize.bound(hub, 0)[0] if one.purpose == "examples") == 0


def test_personas_are_drawn_by_the_seed_and_the_same_ones_again(config_of, tmp_path):
    imported(config_of(), tmp_path)

    def asked(*overrides):
        counts, examples, _ = run(config_of("synthesis.max_personas=5", *overrides))
        return counts["calls"], {row.persona_id for row in examples}

    calls, first = asked()
    assert (calls, len(first)) == (5, 5)
    assert asked() == (0, first)
    calls, both = asked("synthesis.seed=2")
    assert 0 < calls == len(both) - 5


def test_each_persona_can_be_asked_several_times(config_of, tmp_path):
    imported(config_of(), tmp_path, PERSONAS[:4])
    counts, examples, _ = run(config_of("synthesis.samples_per_persona=3"))
    assert counts["calls"] == 12
    assert Counter(Counter(row.persona_id for row in examples).values()) == {3: 4}
    assert len({row.completion_id for row in examples}) == 12


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["synthesis.target_accepted=3", "synthesis.samples_per_persona=2"],
            "target_accepted and samples_per_persona are both set",
        ),
        (["synthesis.max_candidates=3"], "max_candidates is set without target_accepted"),
        (["synthesis.target_accepted=3", "synthesis.max_candidates=2"], "max_candidates is less than target_accepted"),
        (["synthesis.tasks=[{name: npc, lore: /nowhere}]"], "npc: lore /nowhere can not be read"),
        (["synthesis.mode=few_shot", "synthesis.few_shot.selection=knn"], "dedup.semantic"),
    ],
)
def test_what_can_not_be_is_told_before_anything_starts(overrides, message):
    with pytest.raises(ConfigError, match=message):
        pipeline.check(load(overrides=overrides), [STAGE])


def test_conversations_go_on_from_first_turns_and_are_bought_once(config_of, tmp_path, endpoint):
    config = config_of('synthesis.tasks=["conversation"]', "synthesis.conversation.turns=3")
    imported(config, tmp_path, PERSONAS[:12])
    endpoint.reset()
    with pipeline.open_hub(config, spend=True) as hub:
        (result,) = pipeline.run(hub, [STAGE])
        rows = hub.store.table("examples").collect()
        ledger = {row.completion_id: row for row in hub.store.table("completions").where("final").collect()}
    assert Counter(row.purpose for row in ledger.values())["examples"] == 12
    assert result.counts["calls"] == sum(row.stage != "probe" for row in ledger.values())  # all turns
    talks = [json.loads(row.content) for row in rows if row.task == "conversation"]
    firsts = {row.completion_id for row in rows if row.task == "instruction"}
    assert len(talks) == 12
    assert result.counts["examples"] == 24
    assert {len(talk["messages"]) for talk in talks} <= {2, 4, 6}
    assert len({len(talk["messages"]) for talk in talks}) > 1  # some have all that they wanted sooner
    for talk in talks:
        assert [message["role"] for message in talk["messages"]] == ["user", "assistant"] * (len(talk["messages"]) // 2)
        assert talk["completion_ids"][0] in firsts
        assert [ledger[name].prompt_name for name in talk["completion_ids"][1:3]] in (
            ["assistant_turn"],
            ["assistant_turn", "user_turn"],
        )
        assert all(message["content"].strip() for message in talk["messages"])
    bought = endpoint.stats()
    assert bought["requests"] == bought["distinct_bodies"]
    with pipeline.open_hub(config, spend=True) as hub:
        assert [result.counts["calls"] for result in pipeline.run(hub, [STAGE])] == [0]
        assert hub.store.table("examples").count() == len(rows)
    assert endpoint.stats()["requests"] == bought["requests"]


def test_conversations_keep_to_the_mode_and_the_personas_that_are_asked(config_of, tmp_path, files):
    talk = ["synthesis.tasks=[conversation]", "synthesis.conversation.turns=1"]
    imported(config_of(), tmp_path, PERSONAS[:6])

    def made(*overrides):
        with pipeline.open_hub(config_of(*talk, *overrides), spend=True) as hub:
            list(pipeline.run(hub, [STAGE]))
            rows = hub.store.table("examples").where("task = 'conversation'").collect()
        return Counter(row.mode for row in rows)

    _, firsts, _ = run(config_of("synthesis.tasks=[instruction]", "synthesis.max_personas=4"))
    with pipeline.open_hub(config_of(), spend=True) as hub:  # no talk begins with what an expert finds invalid, in the end
        for verdict, one in (("invalid", firsts[0]), ("invalid", firsts[1]), ("valid", firsts[1])):
            pipeline.import_verdicts(hub, f"example_id,verdict\n{one.example_id},{verdict}\n", "ada")
    assert made("synthesis.max_personas=4") == {"zero_shot": 3}
    few_shot = ["synthesis.mode=few_shot", f"synthesis.few_shot.file={files / 'examples.jsonl'}"]
    assert made(*few_shot, "synthesis.max_personas=1") == {"zero_shot": 3, "few_shot": 1}
    assert made("synthesis.max_personas=4") == {"zero_shot": 3, "few_shot": 1}


def test_what_could_not_be_judged_in_passing_is_asked_again_and_nobody_in_its_place(config_of, tmp_path, endpoint, monkeypatch):
    config = config_of("synthesis.moderation_model=default", "synthesis.target_accepted=3")
    imported(config, tmp_path, PERSONAS[:20])
    with monkeypatch.context() as broken:
        buy = inference.buy

        def fails(hub, batch):
            return PurchaseResult(calls=3, failed=1) if batch.purpose == "moderation" else buy(hub, batch)

        broken.setattr(inference, "buy", fails)
        with pytest.raises(TransientFailures, match="1 calls of moderation failed transiently"):
            run(config)
    with pipeline.open_hub(config) as hub:
        assert hub.store.table("completions").where("prompt_name = 'math'").count() == 3
        assert hub.store.table("examples").isEmpty()
    _, examples, _ = run(config)
    assert len(examples) == 3


def test_experts_read_a_sheet_and_their_verdicts_come_back(config_of, tmp_path):
    config = config_of()
    imported(config, tmp_path, PERSONAS[:20])
    with pipeline.open_hub(config) as hub, pytest.raises(InputError, match="no examples to read"):
        pipeline.review_sheet(hub, 5, 1)
    run(config)
    with pipeline.open_hub(config, spend=True) as hub:
        rows = list(csv.DictReader(io.StringIO(pipeline.review_sheet(hub, 10, 1))))
        assert len(rows) == 10
        assert pipeline.validity(hub) == {}

        def told(expert, verdicts):
            sheet = io.StringIO()
            lines = csv.DictWriter(sheet, rows[0].keys())
            lines.writeheader()
            lines.writerows({**row, "verdict": verdict} for row, verdict in zip(rows, verdicts, strict=True))
            return pipeline.import_verdicts(hub, sheet.getvalue(), expert)

        assert told("ada", ["valid"] * 8 + ["invalid", ""]) == {"verdicts": 9, "valid": 8, "blank": 1}
        unknown = "example_id,verdict\n" + rows[0]["example_id"] + ",valid\ne9,valid\n"
        with pytest.raises(InputError, match="line 3: the hub has no example 'e9'"):
            pipeline.import_verdicts(hub, unknown, "ada")
        assert told("ben", ["invalid"] + [""] * 9) == {"verdicts": 1, "valid": 0, "blank": 9}
        found = pipeline.validity(hub)["math"]
        assert (found.read, found.valid) == (9, 7)  # what one of them found invalid is not valid
        told("ben", ["valid"] + [""] * 9)  # the last verdict of an expert counts
        assert pipeline.validity(hub)["math"].valid == 8


def test_near_duplicate_examples_are_found_within_their_task_and_the_verdicts_stay(config_of, spark):
    text = (
        "A mill on the estuary turns at each of two tides a day and grinds forty sacks of rye; how many does it grind in {} days?"
    )
    config = config_of()

    def add(hub, run_id, *rows):
        made = [
            (name, task, "zero_shot", "{}", f"p-{name}", json.dumps({field: told}), None, f"c-{name}", "mock", run_id, True)
            for name, task, field, told in rows
        ]
        hub.store.record(made, "examples")

    def found(hub):
        rows = hub.store.table("duplicates").where("kind = 'example'").collect()
        return {(row.id, row.duplicate_of, row.method) for row in rows}

    def compared(hub):
        (result,) = pipeline.run(hub, ["dedup"], of="examples")
        return result.counts

    with pipeline.open_hub(config, spend=True) as hub:
        assert compared(hub) == {"compared": 0, "identical": 0, "lexical": 0, "rejects": 0, "kept": 0}
        first = [
            ("b", "math", "problem", text.format(7)),
            ("c", "math", "problem", text.format(8)),
            ("d", "math", "problem", "How many?"),
        ]
        add(hub, "run-1", *first, ("e", "instruction", "instruction", text.format(7)))
        assert compared(hub) == {"compared": 4, "identical": 0, "lexical": 1, "rejects": 0, "kept": 3}
        assert found(hub) == {("c", "b", "exact")}
        add(hub, "run-2", ("a", "math", "problem", text.format(7)))  # a smaller id, and later: who stands before it stays
        assert compared(hub) == {"compared": 5, "identical": 1, "lexical": 1, "rejects": 0, "kept": 3}
        assert found(hub) == {("c", "b", "exact"), ("a", "b", "identical")}
        assert pipeline.status(hub).example_duplicates == 2


def test_personas_of_examples_that_have_none_are_inferred_once(config_of, tmp_path, endpoint):
    rows = [
        {"conversation": [{"role": "user", "content": f"Plan a week of {n} tides for a mill that grinds rye."}]} for n in range(8)
    ]
    (tmp_path / "wild.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = [
        "synthesis.mode=persona_few_shot",
        f"synthesis.few_shot.file={tmp_path / 'wild.jsonl'}",
        "synthesis.few_shot.n=2",
    ]
    config = config_of("synthesis.tasks=[instruction]", *settings)
    imported(config, tmp_path, PERSONAS[:5])
    endpoint.reset()
    with pipeline.open_hub(config) as hub:
        foreseen = pipeline.estimates(hub, [STAGE])
    assert [one.calls for one in foreseen] == [8, 5]
    assert endpoint.stats()["requests"] == 0
    counts, examples, _ = run(config)
    assert (counts["calls"], len(examples)) == (8 + 5, 5)
    assert endpoint.stats()["requests"] in (13, 14)  # a probe, where the endpoint was not known
    with pipeline.open_hub(config) as hub:
        ledger = hub.store.table("completions").where("final").collect()
    assert Counter(row.purpose for row in ledger if row.stage != "probe") == {"personas of few-shot examples": 8, "examples": 5}
    assert run(config)[0]["calls"] == 0
    assert endpoint.stats()["bought_twice"] == 0


def test_what_a_moderation_model_finds_unsafe_is_a_reject(config_of, tmp_path, endpoint):
    config = config_of("synthesis.moderation_model=default")
    imported(config, tmp_path, PERSONAS[:20])
    endpoint.reset()
    counts, examples, rejects = run(config)  # the simulated judge finds about half of all unsafe
    assert counts["calls"] == 20 + 20
    assert len(examples) + len(rejects) == 20
    assert {row.reason for row in rejects} == {"unsafe"}
    assert 0 < len(examples) < 20
    assert all(row.raw and row.completion_id for row in rejects)
    again, more, _ = run(config)
    assert (again["calls"], len(more)) == (0, len(examples))
    assert endpoint.stats()["bought_twice"] == 0
    assert endpoint.stats()["distinct_bodies"] in (40, 41)


def test_how_a_persona_fits_its_topic_goes_with_the_example(config_of, tmp_path, endpoint):
    tasks = [
        {"name": "math", "topic": "a keeper of bees draws maps of every orchard"},
        {"name": "math", "topic": "submarines"},
        "logic",
    ]
    settings = [f"synthesis.tasks={json.dumps(tasks)}", "synthesis.topic_similarity=true", "dedup.semantic.model=default"]
    config = config_of(*settings)
    imported(config_of(), tmp_path, PERSONAS[:6])
    endpoint.reset()
    _, examples, _ = run(config)
    near, far, none = (
        {row.persona_id: row.topic_similarity for row in examples if json.loads(row.settings).get("topic") == each.get("topic")}
        for each in [*tasks[:2], {}]
    )
    assert len(near) == len(far) == 6
    assert all(near[name] > far[name] + 0.2 for name in near)
    assert set(none.values()) == {None}
    assert all(-1 <= value <= 1 for value in (*near.values(), *far.values()))
    texts = endpoint.stats()["texts_sold"]
    assert texts in (8, 9)  # six personas and two topics; a probe, where the endpoint was not known
    assert run(config)[0]["calls"] == 0
    assert endpoint.stats()["texts_sold"] == texts


def shown_of(config):
    """By persona, the examples that its prompt shows, as the stage would ask them now."""
    with pipeline.open_hub(config) as hub:
        rows = synthesize._first_batch(hub, chosen_personas(hub)).requests.collect()
    return {row.source_id: json.loads(row.variables)["examples"] for row in rows}


def test_examples_of_the_hub_itself_are_frozen_when_they_are_first_drawn(config_of, tmp_path, endpoint):
    imported(config_of(), tmp_path)
    own = ["synthesis.mode=few_shot", "synthesis.few_shot.n=2", "synthesis.few_shot.pool_size=6"]
    with (
        pipeline.open_hub(config_of(*own), spend=True) as hub,
        pytest.raises(ConfigError, match="2 examples of math are asked for, 0 are there"),
    ):
        list(pipeline.run(hub, [STAGE]))
    endpoint.reset()
    run(config_of("synthesis.max_personas=12"))
    config = config_of(*own)
    with pipeline.open_hub(config) as hub:
        assert [one.calls for one in pipeline.estimates(hub, [STAGE])] == [30]
        assert hub.store.table("few_shot_pool").isEmpty()  # an estimate freezes nothing
    counts, examples, _ = run(config)
    assert counts["calls"] == 30
    problems = {row.completion_id: json.loads(row.content)["problem"] for row in examples if row.mode == "zero_shot"}
    before = shown_of(config)
    assert {text for texts in before.values() for text in texts} <= set(problems.values())
    assert len({text for texts in before.values() for text in texts}) == 6
    run(config_of())  # the table moves
    assert shown_of(config) == before
    assert run(config)[0]["calls"] == 0
    assert shown_of(config_of(*own, "synthesis.few_shot.seed=2")) != before
    assert endpoint.stats()["bought_twice"] == 0
    assert endpoint.stats()["distinct_bodies"] in (60, 61)  # a probe, where the endpoint was not known

    with pipeline.open_hub(config, spend=True) as hub:
        frozen = hub.store.table("few_shot_pool").orderBy("position").collect()
        assert len(frozen) == 6
        gone, text = frozen[0].persona_id, frozen[0].text
        pipeline.forget(hub, [gone], purge=True)
        assert text not in str(hub.store.table("few_shot_pool").collect())
    after = shown_of(config)
    assert gone not in after
    assert all(text not in texts for texts in after.values())
    assert all(after[name] == before[name] for name in after if text not in before[name])


def test_what_is_nearest_to_a_persona_is_shown_and_each_vector_bought_once(config_of, tmp_path, endpoint):
    smith = "A smith who forges anchors for the fleet of the northern strait"
    imported(config_of(), tmp_path, [*PERSONAS[:4], smith])
    rows = [
        {"text": "How many bees fly?", "persona": "A keeper of bees from the valley who draws maps of every orchard"},
        {"text": "How heavy is it?", "persona": "A smith who forges anchors for the fleet of the strait"},
        {"text": "What is a prime?"},
        {"text": "How long is it?", "persona": smith},  # whose vector is that of the persona
    ]
    (tmp_path / "examples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = [
        "synthesis.mode=few_shot", f"synthesis.few_shot.file={tmp_path / 'examples.jsonl'}", "synthesis.few_shot.n=1",
        "synthesis.few_shot.selection=knn", "dedup.semantic.model=default",
    ]  # fmt: skip
    config = config_of(*settings)
    endpoint.reset()
    with pipeline.open_hub(config) as hub:
        vectors, requests = pipeline.estimates(hub, [STAGE])
    assert (vectors.texts, requests.calls) == (8, 5)
    assert endpoint.stats()["requests"] == 0
    counts, _, _ = run(config)
    assert counts["calls"] == 5
    texts = endpoint.stats()["texts_sold"]
    assert texts in (8, 9)  # a probe, where the endpoint was not known
    with pipeline.open_hub(config) as hub:
        people = {row.persona_id: row.persona for row in hub.store.table("personas").collect()}
    shown = {people[name]: found for name, found in shown_of(config).items()}
    assert shown.pop(next(text for text in shown if "smith" in text)) == ["How heavy is it?"]
    assert set(map(tuple, shown.values())) == {("How many bees fly?",)}
    assert run(config)[0]["calls"] == 0
    assert endpoint.stats()["texts_sold"] == texts


def test_an_estimate_names_each_part_that_will_be_paid_for(config_of, tmp_path, endpoint):
    imported(config_of(), tmp_path, PERSONAS[:10])
    endpoint.reset()

    def foreseen(*overrides):
        with pipeline.open_hub(config_of(*overrides)) as hub:
            return {one.purpose: one for one in pipeline.estimates(hub, [STAGE])}

    tasks = "synthesis.tasks=[conversation, {name: math, topic: [tides, kites]}]"
    config = [tasks, "synthesis.moderation_model=default", "synthesis.topic_similarity=true", "dedup.semantic.model=default"]
    parts = foreseen(*config, "synthesis.conversation.turns=2")
    calls = {part: (one.texts or one.calls) for part, one in parts.items()}
    assert calls == {
        "examples": 20,
        "moderation": 20,
        "topic similarity": 12,
        "turns of the assistant": 20,
        "turns of the user": 10,
    }
    assert all(one.prompt_tokens > 0 for one in parts.values())
    assert "at most so many" in parts["moderation"].note
    parts = foreseen("synthesis.target_accepted=4", "synthesis.max_candidates=7")
    assert (parts["examples"].calls, parts["examples"].note.split("; ")[-1]) == (4, "if none is refused, and at most 7")
    assert endpoint.stats()["requests"] == 0
    talking = config_of('synthesis.tasks=["conversation"]', "synthesis.conversation.turns=2")
    with pipeline.open_hub(talking, spend=True) as hub:
        list(pipeline.run(hub, [STAGE]))
        assert {one.purpose: one.calls for one in pipeline.estimates(hub, [STAGE])} == {
            "examples": 0, "turns of the assistant": 0, "turns of the user": 0,
        }  # fmt: skip
