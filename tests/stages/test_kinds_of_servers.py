"""Text-to-persona through each kind of server, with faults: each request ends, nothing is bought twice, and the money is right."""

import json
import shutil

import pytest

from personahub import mockserver, pipeline
from personahub.config import load
from personahub.demo import corpus
from personahub.mockserver.profiles import OLLAMA_CONTEXT, PROFILES

PRICES = {"in_mtok_cost": 2.0, "cached_in_mtok_cost": 0.5, "out_mtok_cost": 8.0}
FAULTS = ("429", "500", "503", "reset", "truncated", "garbage", "empty_choices", "null_content")
ODD = {
    "long": "The salt marsh keeps what the tide brings in. " * 450,
    "violent": "The massacre of 1692. ",
    "medical": "On morphine. ",
}


@pytest.fixture(scope="module")
def documents(spark, tmp_path_factory):
    """A hub of fifteen documents, three of which servers dislike."""
    folder = tmp_path_factory.mktemp("kinds")
    texts = [page["text"] for page in corpus.texts()[:12]]
    texts += [text + texts[number] for number, text in enumerate(ODD.values())]
    assert max(map(len, texts)) > 4 * OLLAMA_CONTEXT
    (folder / "d.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    run(load(overrides=[f"root={folder / 'hub'}", f"documents.path={folder / 'd.jsonl'}", "documents.format=jsonl"]), "documents")
    return folder / "hub", len(texts)


def run(config, stage):
    with pipeline.open_hub(config, spend=True) as hub:
        list(pipeline.run(hub, pipeline.check(config, [stage])))


@pytest.mark.parametrize("kind", PROFILES)
def test_each_request_ends_and_the_money_is_right(documents, tmp_path, kind):
    filled, count = documents
    shutil.copytree(filled, tmp_path / "hub")
    with mockserver.start(port=0, median=0.0, like=kind, fault_rate=0.3, faults=FAULTS, odd_rate=0.2) as server:
        model = {"base_url": server.base_url, "api_key_env": None, **PRICES}
        config = load(
            overrides=[
                f"root={tmp_path / 'hub'}",
                *(f"models.default.{name}={json.dumps(value)}" for name, value in model.items()),
                "text_to_persona.max_text_characters=40000",
            ]
        )
        run(config, "text-to-persona")
        stats = server.stats()
        with pipeline.open_hub(config) as hub:
            ledger = hub.store.table("completions").collect()
            rejects = hub.store.table("rejects").where("stage = 'text-to-persona'").collect()
        final = {row.completion_id: row for row in ledger if row.final and row.purpose != "probe"}
        print(kind, stats["faults"], stats["refused"], [(r.error_kind, r.error_message) for r in final.values() if r.error_kind])
        print([(r.reason, r.detail) for r in rejects])
        print(
            [
                (r.purpose, r.prompt_name, r.final, r.error_kind, r.attempts, r.error_message)
                for r in ledger
                if r.purpose == "probe"
            ]
        )
        cost = sum(row.cost_usd for row in ledger)
        true = (
            (stats["prompt_tokens"] - stats["cached_tokens"]) * 2 + stats["cached_tokens"] * 0.5 + stats["completion_tokens"] * 8
        )
        told = stats["told"]
        tt = (told["prompt_tokens"] - told["cached_tokens"]) * 2 + told["cached_tokens"] * 0.5 + told["completion_tokens"] * 8
        print("cost", cost, "true", true / 1e6, "told", tt / 1e6)
        assert len(final) == count
        assert stats["bought_twice"] == 0
