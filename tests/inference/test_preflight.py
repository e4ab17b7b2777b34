"""What a run finds out about an endpoint, and how it goes by that: the server's counters and the ledger are the judges."""

import json

import pytest

from personahub import mockserver, pipeline
from personahub.config import load
from personahub.storage.hub import Silent

pytestmark = pytest.mark.engines


class Listening(Silent):
    def __init__(self):
        self.heard = []

    def say(self, text):
        self.heard.append(text)


@pytest.fixture
def settings(tmp_path, spark):
    """Of a hub with two texts, one of them long, that buys from a server."""
    texts = {
        "short": "A lighthouse keeper counts the ships. " * 8,
        "long": "A baker of rye bread writes about her oven and flour. " * 500,
    }
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"id": name, "text": text}) + "\n" for name, text in texts.items()))

    def made(server, *overrides):
        given = [
            f"root={tmp_path / 'hub'}", f"models.default.base_url={server.base_url}", "models.default.api_key_env=null",
            "documents.format=jsonl", f"documents.path={tmp_path / 'texts.jsonl'}", "documents.filters={}", "documents.languages=[]",
            "text_to_persona.max_text_characters=40000", *overrides,
        ]  # fmt: skip
        return load(overrides=given)

    return made


@pytest.fixture
def run(settings):
    """Runs text-to-persona at a server -> (result, what was said, rows of a table by its name)."""

    def made(server, *overrides):
        ui = Listening()
        with pipeline.open_hub(settings(server, *overrides), ui, spend=True) as hub:
            *_, result = pipeline.run(hub, ["documents", "text-to-persona"])
            rows = {name: hub.store.table(name).collect() for name in ("completions", "rejects", "endpoint_capabilities")}
        return result, ui.heard, rows

    return made


def test_a_server_that_cuts_prompts_is_found_out_and_its_answers_to_what_it_cut_are_rejects(run):
    with mockserver.start(port=0, median=0.0, like="ollama") as server:
        result, heard, rows = run(server)
        first = server.stats()["requests"]
        again, _, later = run(server)
    assert [(row.source_id, row.reason) for row in rows["rejects"]] == [("long", "context_cut")]
    assert {row.source_id for row in rows["completions"] if row.error_kind is None and row.purpose == "personas"} == {"short"}
    assert {row.capability: row.value for row in rows["endpoint_capabilities"]}["cut_at"] == "4095"
    assert any("cuts the front off" in said for said in heard)
    assert result.counts["calls"] == 2
    assert (again.counts["calls"], len(later["completions"])) == (0, len(rows["completions"]))
    assert first == 2 + len([row for row in rows["completions"] if row.stage == "probe"])


def test_parameters_go_by_the_endpoints_names_and_no_id_knows_of_it(run):
    asked = "models.default.generation_params={max_tokens: 512, temperature: 0.7}"
    with mockserver.start(port=0, median=0.0, like="openai") as server:
        result, heard, rows = run(server, asked)
        refused = server.stats()["by_status"].get("400", 0)
    assert result.counts["calls"] == 2
    assert [row.error_kind for row in rows["completions"] if row.purpose == "personas"] == [None, None]
    assert refused == 2  # one for each name, by the probe alone
    assert sum("max_completion_tokens" in said or "temperature is left out" in said for said in heard) == 2
    with mockserver.start(port=0, median=0.0, like="mistral") as learned_late:
        config = ("models.default.generation_params={max_tokens: 512, seed: 7}", "models.default.response_format=json_schema")
        result, heard, rows = run(learned_late, *config)
    assert result.counts["calls"] == 2
    assert any("refused for a parameter" in said for said in heard)
    with mockserver.start(port=0, median=0.0) as plain:
        again, _, _ = run(plain, asked)
        assert (again.counts["calls"], plain.stats()["requests"]) == (0, 0)


def test_a_run_goes_by_what_check_models_found(settings, run):
    with mockserver.start(port=0, median=0.0, like="deepseek", odd_rate=0.0) as server:
        config = settings(server)
        checked = pipeline.check_endpoints(config)
        with pipeline.open_hub(config, Listening(), spend=True) as hub:
            pipeline.keep_findings(hub, checked)
        before = server.stats()["requests"]
        result, _, rows = run(server)
        assert server.stats()["requests"] == before + result.counts["calls"] == before + 2
    (one,) = checked
    found = dict(one.rows)
    assert one.kind is None
    assert found["structured output"].startswith("json_object: text_to_persona")
    assert "are read whole" in found["long prompts"]
    known = {row.capability: row.value for row in rows["endpoint_capabilities"]}
    assert (known["usage"], known["cached_tokens"], known["cut_at"]) == ("told", "told", "")
