"""Text-to-persona through each kind of server, set up as docs/endpoints.md says: each request ends, and the money is right."""

import json
import re
import shutil
from pathlib import Path

import pytest

from personahub import mockserver, pipeline
from personahub.config import load
from personahub.demo import corpus
from personahub.mockserver.profiles import OLLAMA_CONTEXT, PROFILES

PAGE = (Path(__file__).parents[2] / "docs" / "endpoints.md").read_text()
BLOCKS = dict(re.findall(r"^\*\*(\w+)\*\*.*?```yaml\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))
PARAMETERS = {"max_tokens": 1024, "seed": 7, "temperature": 0.7, "top_p": 0.9}  # of which not every server takes each
PRICES = {"in_mtok_cost": 2.0, "cached_in_mtok_cost": 0.5, "out_mtok_cost": 8.0}
FAULTS = ("429", "500", "503", "reset", "truncated", "garbage", "empty_choices", "null_content")
DISLIKED = {  # what stands before a text, and what becomes of it where
    "The salt marsh keeps what the tide brings in. " * 850: ("ollama", "context_cut"),
    "The massacre of 1692. ": ("azure", "prompt_filtered"),
    "On morphine. ": ("azure", "content_filter"),
}


@pytest.fixture(scope="module")
def documents(spark, tmp_path_factory):
    """A hub of documents, and how many."""
    folder = tmp_path_factory.mktemp("kinds")
    pages = [page["text"] for page in corpus.texts()]
    texts = [*pages[:10], *(before + pages[10 + number] for number, before in enumerate(DISLIKED))]
    assert max(map(len, texts)) > 4 * OLLAMA_CONTEXT
    (folder / "d.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    run(load(overrides=[f"root={folder / 'hub'}", f"documents.path={folder / 'd.jsonl'}", "documents.format=jsonl"]), "documents")
    return folder / "hub", len(texts)


def run(config, stage):
    with pipeline.open_hub(config, spend=True) as hub:
        list(pipeline.run(hub, pipeline.check(config, [stage])))


def usd(tokens):
    parts = (tokens["prompt_tokens"] - tokens["cached_tokens"], tokens["cached_tokens"], tokens["completion_tokens"])
    return sum(count * price for count, price in zip(parts, PRICES.values(), strict=True)) / 1e6


@pytest.mark.parametrize("kind", PROFILES)
def test_each_request_ends_and_the_money_is_right(documents, tmp_path, kind):
    filled, count = documents
    shutil.copytree(filled, tmp_path / "hub")
    (tmp_path / "mine.yaml").write_text(BLOCKS[kind])
    with mockserver.start(port=0, median=0.0, like=kind, fault_rate=0.2, faults=FAULTS, odd_rate=0.2) as server:
        path = "/openai/v1" if kind == "azure" else "/v1"
        model = {"base_url": server.base_url.removesuffix("/v1") + path, "generation_params": json.dumps(PARAMETERS), **PRICES}
        settings = {"root": tmp_path / "hub", "text_to_persona.max_text_characters": 40_000}
        settings |= {f"models.default.{name}": value for name, value in model.items()}
        config = load([tmp_path / "mine.yaml"], [f"{name}={value}" for name, value in settings.items()])
        run(config, "text-to-persona")
        stats = server.stats()
    with pipeline.open_hub(config) as hub:
        ledger = hub.store.table("completions").collect()
        parsed = hub.store.table("lineage").select("parent_id").collect()
        rejects = hub.store.table("rejects").where("stage = 'text-to-persona'").collect()
    final = [row for row in ledger if row.final and row.stage != "probe"]
    assert len(final) == len({row.completion_id for row in final}) == count
    assert len({row.parent_id for row in parsed} | {row.source_id for row in rejects}) == count
    assert all(row.reason for row in rejects)
    assert stats["bought_twice"] == 0
    assert {(kind, row.error_kind) for row in final} >= {each for each in DISLIKED.values() if each[0] == kind}
    assert sum(row.cost_usd for row in ledger if not row.tokens_estimated) == pytest.approx(usd(stats["told"]), abs=1e-9)
    assert sum(row.cost_usd for row in ledger) >= usd(stats) - 1e-9
    assert kind != "litellm" or all(row.tokens_estimated for row in final)
