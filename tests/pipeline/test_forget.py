"""Takedown: what derives only from documents or personas goes, and its text from every file."""

import json
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F
from typer.testing import CliRunner

from personahub import mockserver, pipeline
from personahub.cli.app import app
from personahub.config import load
from personahub.dedup.proof.audit import audit
from personahub.errors import InputError, Interrupted
from personahub.figures.provenance import only_from
from personahub.pipeline.forget import DERIVED, NAMED
from personahub.stages.dedup import index
from personahub.storage.delta import Store

STAGE = "persona-to-persona"


def text_of(number):
    return f"Notes of orchard number {number}: the bees of row {number} came back early, and the grafted pears need shade. " * 3


@pytest.fixture
def endpoint():
    with mockserver.start(port=0, capacity=64, median=0.01, sigma=0.3, duplicates=0.4, seed=3) as server:
        yield server


@pytest.fixture
def config_of(tmp_path, spark, endpoint):
    def make(documents, *overrides):
        corpus = tmp_path / "corpus.jsonl"
        # the first text twice: what one of the two leads to, the other leads to as well
        corpus.write_text("".join(json.dumps({"text": text_of(number)}) + "\n" for number in [*range(documents), 0]))
        values = [
            f"root={tmp_path / 'hub'}", f"models.default.base_url={endpoint.base_url}", "models.default.api_key_env=null",
            "models.default.response_format=json_schema", "documents.format=jsonl", f"documents.path={corpus}",
            "documents.languages=[]", *overrides,
        ]  # fmt: skip
        return load(overrides=values)

    return make


def run(config, *stages):
    with pipeline.open_hub(config, spend=True) as hub:
        return {result.stage: result.counts for result in pipeline.run(hub, stages)}


def tables_of(config, *names):
    with pipeline.open_hub(config) as hub:
        return [hub.store.table(name).collect() for name in names]


def rows(config, name):
    return tables_of(config, name)[0]


def forget(config, *names, **options):
    with pipeline.open_hub(config, spend=True) as hub:
        return pipeline.forget(hub, names, **options)


def derived_from(named, documents, personas, lineage):
    """The personas that no document but the named ones leads to."""
    alive, before = {row.document_id for row in documents} - named, 0
    while len(alive) > before:
        before = len(alive)
        alive |= {row.child_id for row in lineage if row.parent_id in alive}
    return {row.persona_id for row in personas} - alive


def in_any_file(root, texts):
    """Which of the texts stand in a file below the root: as a value of a parquet file, or as bytes of any other."""
    found = set()
    for path in Path(root).rglob("*"):
        if not path.is_file():
            continue
        if path.name.endswith(".parquet"):
            content = "\n".join(json.dumps(row, default=repr, ensure_ascii=False) for row in pq.read_table(path).to_pylist())
        else:
            content = path.read_bytes().decode("utf-8", "replace")
        # an answer holds them as JSON, and a table shows that JSON as a string
        found |= {text for text in texts if text in content or json.dumps(text, ensure_ascii=False)[1:-1] in content}
    return found


def holds_as_dedup_promises(config, materialise):
    """The audit's claims over those that live; ids of all that dedup has decided on."""
    with pipeline.open_hub(config) as hub:
        table = hub.store.table
        dead = table("tombstones").select("id")
        living = index.texts_of(table("personas")).join(dead, on="id", how="left_anti")
        duplicates = table("duplicates").where("kind = 'persona'").join(dead, on="id", how="left_anti")
        rejects = table("rejects").where("stage = 'dedup'").select(F.col("source_id").alias("id"), "reason")
        broken = [each.claim for each in audit(living, duplicates, rejects, config.dedup, materialise) if not each.holds]
        assert set(broken) <= {"and that comes before it"}  # who was there before a takedown comes before whom it let in again
        for name in ("duplicate_of", "representative"):
            assert duplicates.join(dead.withColumnRenamed("id", name), on=name, how="left_semi").isEmpty()
        keyed = {row.id for row in index.indexed_ids(hub).collect()}
        assert keyed | {row.id for row in duplicates.collect()} == {row.id for row in living.select("id").collect()}


@pytest.fixture
def materialise(spark, tmp_path):
    def write(rows, name):
        rows.write.mode("overwrite").parquet(str(tmp_path / "scratch" / name))
        return spark.read.schema(rows.schema).parquet(str(tmp_path / "scratch" / name))

    return write


@pytest.mark.slow
def test_a_hundred_documents_go_with_all_that_derives_only_from_them(config_of, endpoint, materialise):
    config = config_of(130, "persona_to_persona.hops=1", "persona_to_persona.max_frontier=150")
    stages = ("documents", "text-to-persona", STAGE, "synthesize")
    run(config, *stages)
    asked = endpoint.stats()["requests"]
    names = ("documents", "personas", "lineage", "examples", "duplicates", "completions")
    documents, personas, lineage, examples, duplicates, completions = tables_of(config, *names)
    named = set(random.Random(7).sample(sorted(row.document_id for row in documents), 100))
    gone = derived_from(named, documents, personas, lineage)
    texts = {row.persona_id: row.persona for row in personas}
    pages = {row.document_id: row.text for row in documents}
    content = {row.persona_id: row.content for row in examples}
    assert 100 < len(gone) < len(texts)
    kept_out = {row.id for row in duplicates if {row.duplicate_of, row.representative} & gone} - gone

    sets = [f"root={config.root}", "models.default.api_key_env=null"]
    arguments = [part for value in sets for part in ("--set", value)]
    told = CliRunner().invoke(app, ["forget", *named, *arguments], input="n\n")
    would = " ".join(told.output.split())
    assert f"would go: 100 documents, {len(gone)} personas" in would
    assert f"they kept out {len(kept_out)} other personas: `personahub run dedup` decides on these again" in would
    assert "without a terminal to ask on, --yes is needed" in str(told.exception)
    assert rows(config, "tombstones") == []
    done = forget(config, *named, purge=True)
    assert done.examples == len(gone & content.keys()) > 0
    private = {texts[name] for name in gone} | {content[name] for name in gone & content.keys()}
    private |= {pages[name] for name in named} - {pages[name] for name in pages.keys() - named}
    assert len(private) > 200
    assert in_any_file(config.root, private) == set()
    public = {texts[name] for name in texts.keys() - gone}
    assert in_any_file(config.root, public) == public

    results = run(config, *stages)
    assert results["documents"]["documents"] == results["text-to-persona"]["calls"] == 0
    before = {row.completion_id for row in completions}
    after, personas = tables_of(config, "completions", "personas")
    bought = [row for row in after if row.completion_id not in before]
    assert endpoint.stats()["requests"] - asked == len(bought)
    assert not {row.source_id for row in bought} & (gone | named)
    assert not in_any_file(config.root, {pages[name] for name in named} & private)
    # one of them may be told of again, and stays away
    assert {row.persona for row in personas if row.persona_id in gone} == {None}
    holds_as_dedup_promises(config, materialise)


def test_what_a_run_that_died_was_about_to_insert_goes_as_well(config_of, monkeypatch):
    config = config_of(3)
    insert_new = Store.insert_new

    def dies(store, rows, name, stored=False):
        if name == "personas":
            raise KeyboardInterrupt
        return insert_new(store, rows, name, stored)

    with monkeypatch.context() as broken:
        broken.setattr(Store, "insert_new", dies)
        with pytest.raises(Interrupted):
            run(config, "documents", "text-to-persona")
    assert rows(config, "personas") == []
    [name] = [row.document_id for row in rows(config, "documents") if row.text == text_of(2)]
    with pytest.raises(InputError, match="no document and no persona 'nobody'"):
        forget(config, "nobody", name)
    assert forget(config, name, purge=True).personas > 0
    assert run(config, "text-to-persona")["text-to-persona"]["calls"] == 0
    tombstones, personas, lineage = tables_of(config, "tombstones", "personas", "lineage")
    assert {row.reason for row in tombstones} == {NAMED, DERIVED}
    alive = {row.persona_id for row in personas} - {row.id for row in tombstones}
    assert alive == {row.child_id for row in lineage if row.parent_id != name}
    assert in_any_file(config.root, {text_of(2)}) == set()


def test_conversations_and_what_experts_noted_lose_their_text_too(config_of):
    config = config_of(3, "synthesis.tasks=[conversation]", "synthesis.conversation.turns=2")
    run(config, "documents", "text-to-persona", "synthesize")
    documents, lineage, examples = tables_of(config, "documents", "lineage", "examples")
    [name] = [row.document_id for row in documents if row.text == text_of(2)]
    theirs = {row.child_id for row in lineage if row.parent_id == name}
    talks = [json.loads(row.content) for row in examples if row.task == "conversation" and row.persona_id in theirs]
    said = {message["content"] for talk in talks for message in talk["messages"]}
    assert len(said) >= 2
    read = next(row.example_id for row in examples if row.persona_id in theirs)
    with pipeline.open_hub(config, spend=True) as hub:
        pipeline.import_verdicts(hub, f"example_id,verdict,note\n{read},invalid,the miller is a neighbour\n", "ada")
    forget(config, name, purge=True)
    assert in_any_file(config.root, {"the miller is a neighbour", *said}) == set()
    others = {row.content for row in examples if row.persona_id not in theirs}
    assert in_any_file(config.root, others) == others


def test_circles_and_other_ways_keep_those_alive_who_are_reached_from_elsewhere(spark, materialise):
    edges = [("a", "d1"), ("b", "a"), ("a", "b"), ("c", "b"), ("c", "d2"), ("e", "c"), ("f", "a"), ("f", "e"), ("g", "b")]

    def gone(*named, before=()):
        tables = {
            "lineage": spark.createDataFrame(edges, "child_id string, parent_id string"),
            "personas": spark.createDataFrame([(name,) for name in "abcefg"], "persona_id string"),
            "tombstones": spark.createDataFrame([(name, "document") for name in before], "id string, kind string"),
        }
        root = spark.createDataFrame([(name,) for name in named], "id string")
        return {row.id for row in only_from(tables.__getitem__, root, materialise).collect()}

    assert gone("d1") == set("abg")
    assert gone("d1", "d2") == set("abcefg")
    assert gone("b") == {"b", "g"}
    assert gone("d2", before=("d1", "a", "b", "g")) == set("cef")
