"""The stage `dedup` on a hub: verdicts that stand, whatever dies or comes later."""

import pathlib
import sys
from importlib.util import find_spec

import pytest

from personahub import ids, pipeline
from personahub.config import load
from personahub.dedup import jaccard_join
from personahub.errors import ConfigError, Interrupted
from personahub.storage.delta import Store

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "dedup"))
import reference
import samples

NO_LOCAL_MODEL = "no folder" if find_spec("sentence_transformers") else r"pip install 'personahub\[local-embeddings\]'"
TEXTS = [f"{text} keeps bees" for text in samples.texts(60, 21, longest=14) if (text or "").strip(" ?!—")]


@pytest.fixture
def config(tmp_path, spark):
    return load(overrides=[f"root={tmp_path / 'hub'}"])


def add(config, texts, hop=0):
    """Personas as parse leaves them; returns what the reference knows of them."""
    rows = sorted({ids.persona_id(text): text for text in texts}.items())
    with pipeline.open_hub(config, spend=True) as hub:
        frame = hub.spark.createDataFrame(
            [(name, text, hop, "en") for name, text in rows], "persona_id string, persona string, hop int, language string"
        )
        hub.store.insert_new(frame, "personas")
    return [(hop + 1, name, text) for name, text in rows]


def dedup(config, rebuild=False):
    with pipeline.open_hub(config, spend=True) as hub:
        return next(iter(pipeline.run(hub, pipeline.check(config, ["dedup"]), rebuild=rebuild))).counts


def rows_of(config, name):
    with pipeline.open_hub(config) as hub:
        return hub.store.table(name).collect()


def verdicts(config):
    rows = rows_of(config, "duplicates")
    removed = {row.id: (row.duplicate_of, row.method, row.score) for row in rows if row.kind == "persona"}
    assert len(removed) == len(rows)
    assert not {row.representative for row in rows if row.kind == "persona"} & removed.keys()
    return removed


def keyed(config):
    """The personas that have keys, once each."""
    found = [name for row in rows_of(config, "lexical_index") for name in row.persona_ids]
    assert len(found) == len(set(found))
    return set(found)


def test_batches_are_decided_once_and_a_second_run_adds_nothing(config):
    first = add(config, TEXTS[:40])
    counts = dedup(config)
    gone = reference.deduplicate(first, 0.9)
    assert verdicts(config) == gone
    assert counts["compared"] == len(first) == counts["identical"] + counts["lexical"] + counts["kept"]
    assert counts["identical"] * counts["lexical"] > 0
    assert keyed(config) == {name for _, name, _ in first} - gone.keys()

    second = [row for row in add(config, [*TEXTS, "?!"], hop=2) if row[1] not in {name for _, name, _ in first}]
    standing = [(0, name, text) for _, name, text in first if name not in gone]
    _, taken_down, text = next(row for row in standing if row[1] not in {by for by, *_ in gone.values()})
    with pipeline.open_hub(config, spend=True) as hub:
        rows = hub.spark.createDataFrame([(taken_down, "persona", "asked for")], "id string, kind string, reason string")
        hub.store.append(rows, "tombstones")
    [(_, again, _)] = add(config, [f"{text} !"])  # keeps nobody out any more
    counts = dedup(config)
    standing = [row for row in standing if row[1] != taken_down]
    assert verdicts(config) == gone | reference.deduplicate([*second, (1, again, text)], 0.9, decided=standing)
    assert again not in verdicts(config)
    assert counts["rejects"] == 1
    assert [(row.stage, row.reason, row.raw) for row in rows_of(config, "rejects")] == [("dedup", "empty_text", "?!")]
    before = verdicts(config)
    assert set(dedup(config).values()) == {0}
    assert verdicts(config) == before


def test_a_run_that_dies_among_its_tables_is_finished_as_it_fell_and_other_settings_need_a_rebuild(config, monkeypatch):
    first = add(config, TEXTS[:40])
    append = Store.append

    def dies(store, rows, name):
        if name == "lexical_index":
            raise KeyboardInterrupt
        append(store, rows, name)

    monkeypatch.setattr(Store, "append", dies)
    with pytest.raises(Interrupted):
        dedup(config)
    monkeypatch.undo()
    rows = add(config, TEXTS)
    loose = config.model_copy(update={"dedup": load(overrides=["dedup.lexical.threshold=0.6"]).dedup})
    with pytest.raises(ConfigError, match="--rebuild"):
        dedup(loose)  # what was held is in the tables by now, by the settings that it fell by
    gone = reference.deduplicate(first, 0.9)
    assert verdicts(config) == gone
    assert keyed(config) == {name for _, name, _ in first} - gone.keys()

    everyone = list({name: (level, name, text) for level, name, text in [*rows, *first]}.values())
    assert dedup(loose, rebuild=True)["compared"] == len(everyone)
    assert verdicts(config) == reference.deduplicate(everyone, 0.6)
    assert {row.scheme for row in rows_of(config, "lexical_index")} == {jaccard_join.scheme(loose.dedup.lexical)}


def test_what_can_not_be_done_is_told_before_anything_starts(config):
    for overrides, match in (
        (["dedup.semantic.enabled=true"], "dedup.semantic.model"),
        (["dedup.semantic.enabled=true", "dedup.semantic.local_model=/no/such/folder"], NO_LOCAL_MODEL),
        (["dedup.lexical.method=minhash", "dedup.lexical.threshold=0.3", "dedup.lexical.num_perm=16"], "no bands"),
    ):
        with pytest.raises(ConfigError, match=match):
            pipeline.check(load(overrides=overrides), ["dedup"])
