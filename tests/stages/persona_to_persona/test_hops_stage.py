"""Hops against the mock server, whose small world makes duplicates: its count of requests is the money."""

import json

import pytest
from pyspark.sql import functions as F

from personahub import ids, inference, mockserver, pipeline, prompts
from personahub.config import Model, load
from personahub.errors import InputError, Interrupted
from personahub.figures import hops as hop_report
from personahub.stages import persona_to_persona
from personahub.stages.persona_answers import PARSED
from personahub.stages.persona_to_persona import frontier
from personahub.storage.delta import Store

PERSONAS = [f"A keeper of bees from valley {n} who draws maps of every orchard within {n} miles" for n in range(20)]
STAGE, RELATIONS, CAP = "persona-to-persona", 3, 25


@pytest.fixture(scope="module")
def endpoint():
    with mockserver.start(port=0, capacity=64, median=0.01, sigma=0.3, duplicates=0.4) as server:
        yield server


@pytest.fixture
def config_of(tmp_path, spark, endpoint):
    def make(*overrides):
        base = [
            f"root={tmp_path / 'hub'}", f"models.default.base_url={endpoint.base_url}", "models.default.api_key_env=null",
            "models.default.in_mtok_cost=0.15", "models.default.out_mtok_cost=0.6", "models.default.response_format=json_schema",
            "persona_to_persona.hops=2", f"persona_to_persona.max_frontier={CAP}",
        ]  # fmt: skip
        return load(overrides=[*base, *overrides])

    return make


def imported(config, tmp_path, texts=PERSONAS):
    path = tmp_path / "personas.jsonl"
    path.write_text("".join(json.dumps({"persona": text}) + "\n" for text in texts))
    with pipeline.open_hub(config, spend=True) as hub:
        pipeline.import_personas(hub, pipeline.personas_file(str(path)))


def run(config):
    with pipeline.open_hub(config, spend=True) as hub:
        return [(result.stage, result.counts) for result in pipeline.run(hub, [STAGE])]


def rows(config, name, where="true"):
    with pipeline.open_hub(config) as hub:
        return hub.store.table(name).where(where).collect()


def everything(config):
    """The tables that a run makes, without what differs from run to run."""
    different = {"run_id", "created_at", "latency_s", "attempts"}
    return {
        name: sorted(
            repr({key: value for key, value in row.asDict().items() if key not in different}) for row in rows(config, name)
        )
        for name in ("requests", "completions", "personas", "lineage", "duplicates", "rejects")
    }


def test_two_hops_ask_the_kept_alone_and_once_and_a_second_run_buys_nothing(config_of, tmp_path, endpoint):
    config = config_of()
    imported(config, tmp_path)
    endpoint.reset()
    with pipeline.open_hub(config) as hub:
        foreseen = pipeline.forecast(hub)
    assert [(one.hop, one.calls) for one in foreseen] == [(1, 20), (2, CAP)]
    assert endpoint.stats()["requests"] == 0
    told = run(config)
    assert [stage for stage, _ in told] == ["dedup", STAGE, "dedup", STAGE, "dedup"]
    assert [(counts["hop"], counts["calls"], counts["failed"]) for stage, counts in told if stage == STAGE] == [
        (1, 20, 0),
        (2, CAP, 0),
    ]
    assert endpoint.stats()["requests"] == 20 + CAP

    hop_of = {row.persona_id: row.hop for row in rows(config, "personas")}
    gone = {row.id for row in rows(config, "duplicates")}
    asked = rows(config, "requests")
    assert len(asked) == 20 + CAP == len({row.source_id for row in asked})
    assert gone
    assert not gone & {row.source_id for row in asked}
    assert all(len(json.loads(row.variables)["relations"]) == RELATIONS for row in asked)
    edges = [row for row in rows(config, "lineage") if row.relation != "import"]
    assert {hop_of[row.parent_id] for row in edges} == {0, 1}
    assert all(hop_of[row.child_id] <= hop_of[row.parent_id] + 1 for row in edges)

    before = everything(config)
    assert all(value == 0 for _, counts in run(config) for name, value in counts.items() if name not in ("hop", "reused"))
    assert endpoint.stats()["requests"] == 20 + CAP
    assert everything(config) == before
    _the_report_and_the_lineage(config)


def test_a_hop_that_was_killed_goes_on_under_another_model_by_that_models_ids(config_of, tmp_path, endpoint):
    one = "persona_to_persona.hops=1"
    before, after = config_of(one, "models.default.model=a"), config_of(one, "models.default.model=b")
    imported(before, tmp_path, PERSONAS[:6])
    with pipeline.open_hub(before, spend=True) as hub:  # what a run has done that is killed after two answers
        frontier.freeze(hub, 1)
        asked = frontier.batch_of(hub, 1, frontier.requests(hub, 1).orderBy("source_id").limit(2))
        endpoint.reset()
        assert inference.buy(hub, asked).calls == 2
    assert [counts["calls"] for stage, counts in run(after) if stage == STAGE] == [4]
    completion_id = {name: prompts.load(STAGE.replace("-", "_")).completion_ids(Model(model=name)) for name in "ab"}
    frozen = {row.completion_id: row for row in rows(after, "requests")}
    answers = rows(after, "completions", "purpose like 'hop%'")
    assert sorted(row.model for row in answers) == [*"aabbbb"]
    for row in answers:
        request = frozen.pop(row.completion_id)
        assert row.completion_id == completion_id[row.model](request.variables, request.sample_index)
    assert frozen == {}
    for config in (after, before):
        assert [counts["calls"] for stage, counts in run(config) if stage == STAGE] == [0]
    assert endpoint.stats()["requests"] == 6


def _the_report_and_the_lineage(config):
    with pipeline.open_hub(config) as hub:
        found = pipeline.hop_report(hub)
        assert [one.hop for one in found] == [0, 1, 2]
        for one in found[1:]:
            assert one.produced == one.same + one.personas > 0
            assert one.personas == sum(one.duplicates.values()) + one.kept
            assert one.asked == one.answered == one.expected_calls == min(CAP, one.frontier)
            assert one.usd_per_kept == pytest.approx(one.cost_usd / one.kept)
            assert 0.3 < one.novelty < 1  # four of ten are one of the few who come again
        assert found[2].expected_tokens == pytest.approx(found[2].tokens, rel=0.15)
        child = hub.store.table("personas").where("hop = 2").orderBy("persona_id").first().persona_id
        way = pipeline.lineage(hub, child).ways[0]
        assert [step.hop for step in way] == [2, 1, 0, None]
        assert way[-1].text == "(imported)"
        below = pipeline.lineage(hub, way[2].id).below
        assert {one.depth for one in below} == {1, 2}
        assert child in {one.id for one in below}
        with pytest.raises(InputError, match="no persona"):
            pipeline.lineage(hub, "nobody")


def test_a_run_that_dies_between_freezing_and_reading_ends_as_one_that_does_not(config_of, tmp_path, endpoint, monkeypatch):
    whole, broken = (config_of(f"root={tmp_path / name}", "persona_to_persona.hops=1") for name in ("whole", "broken"))
    for config in (whole, broken):
        imported(config, tmp_path, PERSONAS[:8])
    run(whole)
    endpoint.reset()
    release, deaths = Store.release, []

    def dies(store, name):
        if name == STAGE and len(deaths) < 2:
            deaths.append(name)
            raise KeyboardInterrupt
        release(store, name)

    monkeypatch.setattr(Store, "release", dies)
    for _ in range(2):
        with pytest.raises(Interrupted):
            run(broken)
    run(broken)
    assert len(deaths) == 2
    assert everything(broken) == everything(whole)
    assert endpoint.stats()["bought_twice"] == 0
    assert endpoint.stats()["requests"] == len(rows(broken, "requests"))


def test_a_frontier_by_root_takes_turns_and_stays_as_it_was_drawn(config_of, tmp_path, spark):
    config = config_of("persona_to_persona.max_frontier=6", "persona_to_persona.frontier_sampling=by_root")
    imported(config, tmp_path, PERSONAS[:2])
    with pipeline.open_hub(config, spend=True) as hub:
        one, other = (row.persona_id for row in hub.store.table("personas").orderBy("persona_id").collect())
        children = [(f"{n:032x}", one if n < 30 else other) for n in range(33)]
        people = [(name, f"A child number {name} of someone", 1, "en") for name, _ in children]
        hub.store.append(spark.createDataFrame(people, "persona_id string, persona string, hop int, language string"), "personas")
        edges = [(name, parent, "child", "c") for name, parent in children]
        hub.store.append(
            spark.createDataFrame(edges, "child_id string, parent_id string, relation string, completion_id string"), "lineage"
        )
        drawn = {row.persona_id for row in frontier.frontier(hub, 2).collect()}
        assert len(drawn) == 6
        assert sum(int(name, 16) >= 30 for name in drawn) == 3
        frontier.freeze(hub, 2)
        late = [("f" * 32, "A child who came late", 1, "en")]
        hub.store.append(spark.createDataFrame(late, "persona_id string, persona string, hop int, language string"), "personas")
        frontier.freeze(hub, 2)
        assert {row.source_id for row in frontier.requests(hub, 2).collect()} == drawn


def test_paying_ends_where_little_is_new_and_goes_on_with_a_lower_floor(config_of, tmp_path, endpoint):
    texts = [f"A keeper of bees from valley {n} who draws maps of every orchard within {n} miles" for n in range(240)]
    small = (
        "inference.requests_per_commit=40",
        "inference.journal=off",
        "inference.concurrent_windows=1",
        "persona_to_persona.max_frontier=null",
    )
    with mockserver.start(port=0, capacity=64, median=0.01, sigma=0.3, duplicates=0.9) as server:
        there = f"models.default.base_url={server.base_url}"
        config = config_of(*small, there, "persona_to_persona.min_novelty=0.5")
        imported(config, tmp_path, texts)
        [_, (_, first), (_, decided)] = run(config)
        asked = server.stats()["requests"]
        assert first["calls"] == asked
        assert first["calls"] + first["unasked"] == 240
        assert first["unasked"] >= 80
        assert first["lineage"] == asked * RELATIONS
        assert decided["compared"] == first["personas"]
        measured = rows(config, "hop_novelty")
        assert sum(row.produced for row in measured) >= 200
        assert measured[-1].novel < 0.5 * measured[-1].produced
        again = run(config)
        assert server.stats()["requests"] == asked
        assert [stage for stage, _ in again] == ["dedup", STAGE, "dedup"]
        on = run(config_of(*small, there, "persona_to_persona.min_novelty=0.01", "persona_to_persona.hops=1"))
        assert on[1][1]["calls"] == 240 - asked
        assert server.stats()["requests"] == 240


def test_a_child_that_its_parent_descends_from_is_refused(config_of, tmp_path, spark):
    config = config_of()
    imported(config, tmp_path, PERSONAS[:1])
    with pipeline.open_hub(config, spend=True) as hub:
        [root] = hub.store.table("personas").collect()
        child, stranger = "c" * 32, "d" * 32
        people = [(child, "A child", 1, "en"), (stranger, "A stranger", 0, "en")]
        hub.store.append(spark.createDataFrame(people, "persona_id string, persona string, hop int, language string"), "personas")
        edge = [(child, root.persona_id, "child", "x")]
        hub.store.append(
            spark.createDataFrame(edge, "child_id string, parent_id string, relation string, completion_id string"), "lineage"
        )
        told = [
            (STAGE, child, "y", 0, "parent", root.persona_id, PERSONAS[0], "en", 2),
            (STAGE, child, "y", 1, "friend", stranger, "A stranger", "en", 2),
        ]
        parsed = spark.createDataFrame(
            [(*row, None, None, None, None) for row in told],
            PARSED,
        )
        found = {row.relation: row for row in persona_to_persona._without_cycles(hub, parsed, 2).collect()}
    assert found["friend"].reason is None
    assert (found["parent"].reason, found["parent"].persona_id) == ("own_ancestor", None)
    assert found["parent"].reject_id == ids.reject_id(STAGE, child, "y", "own_ancestor", 0)


def test_a_hub_without_hops_has_hop_0_alone(config_of, tmp_path):
    config = config_of("persona_to_persona.hops=0")
    imported(config, tmp_path, PERSONAS[:3])
    assert run(config) == []
    with pipeline.open_hub(config) as hub:
        assert hop_report(hub.store.table) == pipeline.hop_report(hub)
        assert [(one.hop, one.kept) for one in pipeline.hop_report(hub)] == [(0, 3)]
        assert hub.store.table("requests").where(F.col("stage") == STAGE).isEmpty()
