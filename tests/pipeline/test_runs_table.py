"""What runs leave in the table `runs`."""

import json

import pytest

from personahub import mockserver, pipeline
from personahub.config import load
from personahub.errors import BudgetExceeded

PLACES = 4
PERSONAS = [f"A violin maker from town {n} who teaches children to listen" for n in range(8)]


@pytest.fixture
def endpoint():
    with mockserver.start(port=0, capacity=PLACES, median=0.1, sigma=0.1) as server:
        yield server


@pytest.fixture
def config(tmp_path, spark, endpoint):
    model = {
        "base_url": endpoint.base_url,
        "api_key_env": None,
        "max_concurrent_requests": PLACES,
        "response_format": "json_schema",
    }
    prices = {"in_mtok_cost": 100.0, "out_mtok_cost": 100.0, "generation_params": {"max_tokens": 400}}
    return load(overrides=[f"root={tmp_path / 'hub'}", f"models.default={json.dumps(model | prices)}"])


@pytest.fixture
def people(config, tmp_path):
    (tmp_path / "p.jsonl").write_text("".join(json.dumps({"persona": text}) + "\n" for text in PERSONAS))
    with pipeline.open_hub(config, spend=True) as hub:
        pipeline.import_personas(hub, pipeline.personas_file(str(tmp_path / "p.jsonl")))


def ledger_says(hub):
    """The utilisation of the newest run of synthesize, added up here."""
    run_id = pipeline.runs(hub, 1)[0].run_id
    rows = hub.store.table("completions").where(f"stage = 'synthesize' AND run_id = '{run_id}'").collect()
    ends = [row.created_at.timestamp() for row in rows]
    begins = [end - row.latency_s for end, row in zip(ends, rows, strict=True)]
    return sum(row.latency_s for row in rows) / (PLACES * (max(ends) - min(begins)))


def test_utilisation_is_what_the_ledger_says(config, people, endpoint):
    with pipeline.open_hub(config, spend=True) as hub:
        [result] = pipeline.run(hub, ["synthesize"])
        told = pipeline.runs(hub, 9)
        [first, second] = told
        [stage] = [one for one in pipeline.status(hub).stages if one.stage == "synthesize"]
        expected = ledger_says(hub)
    assert [(run.stage, run.status) for run in told] == [
        ("synthesize", "done"),
        ("import", "done"),
    ]
    assert (second.utilisation, second.counts["personas"]) == (None, len(PERSONAS))  # it bought nothing
    assert first.utilisation == pytest.approx(expected)
    assert result.utilisation == pytest.approx(expected)
    assert 0 < first.utilisation <= 1
    assert expected * PLACES * first.seconds >= endpoint.stats()["busy_seconds"]  # a call is never shorter than its answer takes
    assert (stage.utilisation, stage.status) == (first.utilisation, "done")
    assert stage.seconds == pytest.approx(first.seconds)

    with pipeline.open_hub(config, spend=True) as hub:  # buys nothing, so the utilisation of the last purchase stands
        [again] = pipeline.run(hub, ["synthesize"])
        [stage] = [one for one in pipeline.status(hub).stages if one.stage == "synthesize"]
    assert again.utilisation is None
    assert stage.utilisation == first.utilisation


def test_a_stage_that_is_stopped_has_its_calls_and_its_utilisation(config, people, endpoint):
    poor = config.model_copy(update={"inference": config.inference.model_copy(update={"budget_usd": 0.25})})
    with pipeline.open_hub(poor, spend=True) as hub:
        with pytest.raises(BudgetExceeded):
            list(pipeline.run(hub, ["synthesize"]))
        [run] = pipeline.runs(hub, 1)
        assert run.utilisation == pytest.approx(ledger_says(hub))
    assert 0 < run.counts["calls"] == endpoint.stats()["requests"] < len(PERSONAS)
    assert run.status == "BudgetExceeded"
    assert run.counts["examples"] + run.counts["rejects"] == run.counts["calls"]  # what was bought was parsed
    assert run.cost_usd > 0
