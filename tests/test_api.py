"""The public functions, as a notebook calls them."""

import asyncio
import json
from pathlib import Path

import pytest

import personahub as ph
from personahub import mockserver
from personahub.errors import ConfigError, InputError

PERSONAS = [f"A violin maker from town {n} who teaches children to listen" for n in range(6)]


@pytest.fixture
def hub(tmp_path, spark):
    (tmp_path / "people.jsonl").write_text("".join(json.dumps({"persona": text}) + "\n" for text in PERSONAS))
    with mockserver.start(port=0, median=0.0) as server:
        model = {"base_url": server.base_url, "api_key_env": None, "in_mtok_cost": 1.0, "out_mtok_cost": 1.0}
        hub = ph.open(tmp_path / "hub", {"models": {"default": model}})
        assert hub.import_personas(tmp_path / "people.jsonl").value.counts["personas"] == 6
        yield hub


def test_a_hub_is_run_and_read(hub):
    assert "synthesize" in repr(hub.estimate("synthesize"))

    async def cell():  # a notebook runs each within a loop of its own
        return hub.preview("synthesize", 1)

    assert [one.error for one in asyncio.run(cell()).value] == [None]
    done = hub.run("synthesize")
    assert [(result.stage, result.counts["calls"], result.counts["reused"]) for result in done.value] == [("synthesize", 5, 1)]
    assert repr(done).startswith("synthesize: calls 5, reused 1")
    assert hub.personas().count() == hub.examples().count() == 6
    status = hub.status()
    assert status.value.kept == 6
    assert "kept" in repr(status)
    assert "<pre" in status._repr_html_()
    assert "kept" in status._repr_html_()


def test_what_is_wrong_says_what_is_there(hub, tmp_path):
    with pytest.raises(AttributeError, match="did you mean personas"):
        hub.persona()
    with pytest.raises(InputError, match="did you mean examples"):
        hub.table("exmples")
    with pytest.raises(ConfigError, match=r"models\.default\.modle"):
        ph.open(tmp_path / "hub", {"models": {"default": {"modle": "x"}}})
    assert repr(hub) == f"personahub.open({str(tmp_path / 'hub')!r})"


def test_a_root_is_read_as_one_of_the_settings_is_and_wins_over_them(tmp_path, monkeypatch):
    monkeypatch.setenv("HUBS", str(tmp_path))
    monkeypatch.delenv("NOPE", raising=False)
    corpus = {"documents": {"path": tmp_path / "corpus"}, "synthesis.few_shot.file": Path("few.jsonl"), "catalog": "main.hub"}
    config = ph.open("$HUBS/hub", corpus).config
    assert (config.root, config.catalog) == (f"{tmp_path}/hub", None)
    assert (config.documents.path, config.synthesis.few_shot.file) == (f"{tmp_path}/corpus", "few.jsonl")
    assert ph.open(config=corpus).config.catalog == "main.hub"
    assert ph.open(tmp_path / "other", config).config == config.model_copy(update={"root": f"{tmp_path}/other"})
    for settings in (None, corpus, config):
        with pytest.raises(ConfigError, match=r"root: \$NOPE is not set"):
            ph.open("$NOPE/hub", settings)
        with pytest.raises(ConfigError, match="root: there is no home folder for ~nobody-here"):
            ph.open("~nobody-here/hub", settings)
    with pytest.raises(ConfigError, match="not plain YAML"):
        ph.open(tmp_path, {"root": {tmp_path}})
    with pytest.raises(ConfigError, match="no home folder"):
        ph.open(tmp_path).import_personas("~nobody-here/people.jsonl")


def test_a_frame_is_deduplicated(spark):
    rows = spark.createDataFrame([(text,) for text in [*PERSONAS, PERSONAS[0].upper()]], "persona string")
    with ph.deduplicate(rows, "persona") as found:
        assert found.kept.count() < 7
        assert found.counts.rows == 7
