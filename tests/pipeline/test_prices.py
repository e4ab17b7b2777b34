"""A budget needs the prices of those models that the chosen stages ask, before anything is bought, and of no other."""

import json
import re

import pytest

from personahub import mockserver, pipeline
from personahub.config import load
from personahub.errors import ConfigError
from personahub.inference import RequestBatch, buy
from personahub.stages import synthesize

BUDGET = "inference.budget_usd=5"
PRICED = ["models.default.in_mtok_cost=1", "models.default.out_mtok_cost=2"]
OTHERS = "models={writer: {model: w}, judge: {model: j}, talker: {model: t}, vectors: {model: v}}"
SEMANTIC = "dedup.semantic={enabled: true, model: vectors}"


def config_of(*overrides):
    return load(overrides=[BUDGET, *PRICED, OTHERS, *overrides])


@pytest.mark.parametrize(
    ("stage", "overrides"),
    [
        ("text-to-persona", [SEMANTIC, "synthesis.moderation_model=judge", "synthesis.model=writer"]),
        ("dedup", ["synthesis.model=writer", "dedup.semantic={model: vectors}"]),
        (
            "dedup",
            ["text_to_persona.model=writer", "dedup.semantic={enabled: true, model: vectors}", "models.vectors.in_mtok_cost=0"],
        ),
        ("persona-to-persona", ["persona_to_persona={model: writer, hops: 0}"]),
        ("persona-to-persona", ["persona_to_persona.hops=2", "synthesis.model=writer"]),
        ("synthesize", [SEMANTIC, "text_to_persona.model=writer"]),
        ("synthesize", ["synthesis.conversation.assistant_model=talker"]),  # no conversation is asked for
        ("synthesize", ["synthesis.topic_similarity=true", "dedup.semantic.local_model=some-model"]),  # computed, not bought
    ],
)
def test_the_price_of_a_model_that_no_chosen_stage_asks_need_not_be_known(stage, overrides, monkeypatch):
    monkeypatch.setattr("personahub.embeddings.find_spec", lambda name: True)
    monkeypatch.setattr("personahub.embeddings.local.key_of", lambda settings: "local")
    assert pipeline.check(config_of(*overrides), [stage]) == [stage]


@pytest.mark.parametrize(
    ("stage", "overrides", "asks", "settings"),
    [
        ("text-to-persona", ["text_to_persona.model=writer"], "writer", ["in_mtok_cost", "out_mtok_cost"]),
        ("text-to-persona", ["text_to_persona.model=writer", "models.writer.in_mtok_cost=1"], "writer", ["out_mtok_cost"]),
        ("dedup", [SEMANTIC], "vectors", ["in_mtok_cost"]),
        ("persona-to-persona", ["persona_to_persona={model: writer, hops: 1}"], "writer", ["in_mtok_cost", "out_mtok_cost"]),
        ("persona-to-persona", ["persona_to_persona.hops=1", SEMANTIC], "vectors", ["in_mtok_cost"]),
        ("synthesize", ["synthesis.model=writer"], "writer", ["in_mtok_cost", "out_mtok_cost"]),
        ("synthesize", ["synthesis.moderation_model=judge"], "judge", ["in_mtok_cost", "out_mtok_cost"]),
        (
            "synthesize",
            ["synthesis.tasks=[conversation]", "synthesis.conversation.assistant_model=talker"],
            "talker",
            ["in_mtok_cost", "out_mtok_cost"],
        ),
        ("synthesize", ["synthesis.topic_similarity=true", "dedup.semantic.model=vectors"], "vectors", ["in_mtok_cost"]),
    ],
)
def test_a_stage_that_asks_a_model_without_prices_is_refused(stage, overrides, asks, settings):
    names = " and ".join(f"models.{asks}.{name}" for name in settings)
    with pytest.raises(ConfigError, match=re.escape(f"{stage} asks models.{asks}, whose price is not known: set {names} (")):
        pipeline.check(config_of(*overrides), [stage])
    pipeline.check(config_of(*overrides), [stage], spend=False)  # an estimate buys nothing
    pipeline.check(config_of(*overrides, "inference.budget_usd=null"), [stage])


def test_examples_are_compared_without_vectors():
    assert pipeline.check(config_of(SEMANTIC), ["dedup"], of="examples") == ["dedup"]


def test_the_personas_of_examples_are_asked_for_as_those_of_texts(tmp_path):
    file = tmp_path / "examples.jsonl"
    file.write_text("".join(json.dumps({"task": "math", "text": f"What is {n} and {n}?"}) + "\n" for n in range(5)))
    shown = ["synthesis.mode=persona_few_shot", f"synthesis.few_shot.file={file}", "text_to_persona.model=writer"]
    with pytest.raises(ConfigError, match=r"synthesize asks models\.writer"):
        pipeline.check(config_of(*shown), ["synthesize"])
    file.write_text("".join(json.dumps({"task": "math", "text": f"What is {n}?", "persona": "A clerk"}) + "\n" for n in range(5)))
    assert pipeline.check(config_of(*shown), ["synthesize"]) == ["synthesize"]


@pytest.fixture
def hub_of(tmp_path, spark):
    """A hub with three personas, at an endpoint whose models have no prices but `default`."""
    file = tmp_path / "people.jsonl"
    file.write_text("".join(json.dumps({"persona": f"A baker of rye bread from village number {n}"}) + "\n" for n in range(3)))
    with mockserver.start(port=0, median=0.0) as server:

        def config(*overrides):
            places = [f"models.{alias}.base_url={server.base_url}" for alias in ("default", "writer", "judge")]
            return config_of(f"root={tmp_path / 'hub'}", *places, *overrides)

        with pipeline.open_hub(config(), spend=True) as hub:
            pipeline.import_personas(hub, pipeline.personas_file(str(file)))
        yield config, server


def test_nothing_is_bought_where_a_price_is_missing(hub_of):
    config_of_hub, server = hub_of
    unpriced = config_of_hub("synthesis.moderation_model=judge", SEMANTIC)
    with pipeline.open_hub(unpriced, spend=True) as hub:
        for buying in (lambda: list(pipeline.run(hub, ["synthesize"])), lambda: pipeline.preview(hub, "synthesize", 1)):
            with pytest.raises(ConfigError, match=r"synthesize asks models\.judge"):
                buying()
    writer = config_of_hub("synthesis.model=writer")
    with pipeline.open_hub(writer, spend=True) as hub:
        batch: RequestBatch = next(synthesize.rounds(hub))
        with pytest.raises(ConfigError, match=r"synthesize asks models\.writer"):  # whoever buys without the pipeline
            buy(hub, batch)
    assert server.stats()["requests"] == 0
    with pipeline.open_hub(config_of_hub(SEMANTIC), spend=True) as hub:
        (result,) = pipeline.run(hub, ["synthesize"])
    assert result.counts["calls"] == 3


def test_the_options_of_dedup_need_dedup():
    with pytest.raises(ConfigError, match="name it among the stages"):
        pipeline.check(config_of(SEMANTIC), ["documents"], of="examples")
    with pytest.raises(ConfigError, match="personas or examples"):
        pipeline.check(config_of(SEMANTIC), ["dedup"], of="example")
