"""The spine against the mock server: its count of requests is the money."""

import json
import os
import shutil
import signal
import threading
import time

import pytest
from pyspark.sql import functions as F

from personahub import mockserver, pipeline
from personahub.config import load
from personahub.errors import (
    AuthenticationError,
    BudgetExceeded,
    ConfigError,
    EndpointError,
    InputError,
    Interrupted,
    RootInUse,
    TransientFailures,
)
from personahub.inference import RequestBatch, executor
from personahub.inference.preflight import dialect_of
from personahub.storage.delta import Store
from personahub.storage.lease import Lease


@pytest.fixture
def endpoint():
    with mockserver.start(port=0, capacity=32, median=0.01, sigma=0.3) as server:
        yield server


@pytest.fixture
def hub_of(tmp_path, spark):
    """Settings of a hub under tmp_path that buys from a server."""

    def make(server, *overrides):
        base = [f"root={tmp_path / 'hub'}", f"models.default.base_url={server.base_url}", "models.default.api_key_env=null"]
        return load(overrides=[*base, *overrides])

    return make


@pytest.fixture(scope="session")
def imported_once(tmp_path_factory, spark):
    folder = tmp_path_factory.mktemp("imported")
    config = load(overrides=[f"root={folder / 'hub'}"])
    assert imported(config, write_personas(folder / "p.jsonl", PERSONAS)).counts["personas"] == len(PERSONAS)
    return folder / "hub"


@pytest.fixture
def people(imported_once, tmp_path):
    """PERSONAS are in the hub."""
    shutil.copytree(imported_once, tmp_path / "hub")


def write_personas(path, texts):
    path.write_text("".join(json.dumps({"persona": text}) + "\n" for text in texts))
    return str(path)


def run(config, *stages):
    with pipeline.open_hub(config, spend=True) as hub:
        return list(pipeline.run(hub, pipeline.check(config, stages)))


def imported(config, path):
    with pipeline.open_hub(config, spend=True) as hub:
        return pipeline.import_personas(hub, pipeline.personas_file(path))


def table(config, name):
    with pipeline.open_hub(config) as hub:
        return hub.store.table(name)


PERSONAS = [f"A violin maker from town {n} who teaches children to listen" for n in range(24)]


def test_from_documents_to_examples_and_again_without_a_purchase(demo, tmp_path, endpoint, hub_of):
    shutil.copytree(demo.out / "hub", tmp_path / "hub")
    hops = ("persona_to_persona.hops=2", "persona_to_persona.max_frontier=40")
    topics = json.dumps({"name": "math", "topic": {"file": str(demo.out / "world" / "topics.txt")}})
    made = f'synthesis.tasks=[{topics}, "logic", "conversation", "knowledge", "npc", {{"name": "tool", "part": "interface and code"}}]'
    settings = ("models.default.model=simulated", made, "synthesis.conversation.turns=2", *hops)
    config = hub_of(endpoint, f"documents.path={demo.out / 'redpajama-v2'}", *settings)
    first = [(row.stage, row.counts) for row in table(config, "runs").orderBy("created_at").collect()]
    stages = ["documents", "text-to-persona", "dedup", "dedup", *["persona-to-persona", "dedup"] * 2, "synthesize"]
    assert [stage for stage, _ in first] == stages
    assert first[0][1] == {"documents": 40, "rejects": 3}
    assert [counts["calls"] for stage, counts in first if stage.endswith("-persona")] == [40, 40, 40]
    kept = sum(counts["kept"] for stage, counts in first if stage == "dedup")
    made = first[-1][1]
    assert kept < table(config, "personas").count()
    assert table(config, "completions").where("purpose = 'examples'").count() == 6 * kept
    first_turns = table(config, "examples").where("task = 'instruction'").count()
    assert made["examples"] + made["rejects"] == 6 * kept + first_turns
    probes = table(config, "completions").where("stage = 'probe'").count()
    assert probes == 8  # one for each schema
    assert demo.stats["requests"] == 3 * 40 + made["calls"] + probes
    again = {result.stage: result.counts for result in run(config)}
    assert endpoint.stats()["requests"] == 0
    assert all(value == 0 for counts in again.values() for name, value in counts.items() if name not in ("hop", "reused"))

    ledger = table(config, "completions")
    assert ledger.where("final").groupBy("completion_id").count().where("count > 1").count() == 0
    assert ledger.where("stage != 'probe'").count() == 3 * 40 + made["calls"]
    lineage = table(config, "lineage")
    sources = table(config, "documents").select("document_id").union(table(config, "personas").select("persona_id"))
    assert lineage.join(sources.withColumnRenamed("document_id", "parent_id"), on="parent_id", how="left_anti").count() == 0
    assert set(table(config, "examples").select("synthetic").distinct().collect()) == {(True,)}
    assert [row.status for row in table(config, "runs").collect()] == ["done"] * (9 + 9)


def test_faults_end_as_answers_or_rejects_with_their_reason(people, hub_of):
    with mockserver.start(port=0, capacity=32, median=0.01, fault_rate=0.3, seed=5) as server:
        config = hub_of(server, "models.default.request_timeout=1.0", "models.default.response_format=json_schema")
        counts = run(config, "synthesize")[0].counts
        requests = server.stats()["requests"]
    assert counts["examples"] + counts["rejects"] == len(PERSONAS)
    assert counts["failed"] == 0
    attempts = table(config, "completions").where("stage = 'synthesize'").agg(F.sum("attempts")).collect()[0][0]
    assert attempts == requests > len(PERSONAS)


def test_what_fails_in_passing_is_missing_and_asked_again(people, hub_of):
    with mockserver.start(port=0, median=0.01, fault_rate=0.3, faults=("500",), seed=1) as server:
        config = hub_of(server, "models.default.max_retries=0", "models.default.response_format=json_schema")
        with pytest.raises(TransientFailures, match="run again"):
            run(config, "synthesize")
        final = table(config, "completions").where("final").count()
        failed = table(config, "completions").where("not final").select("error_kind").collect()
        assert final + len(failed) == len(PERSONAS)
        assert {row.error_kind for row in failed} == {"server"}
        patient = hub_of(server, "models.default.response_format=json_schema")
        assert run(patient, "synthesize")[0].counts["calls"] == len(failed)
    assert table(config, "completions").where("final").count() == len(PERSONAS)


def test_the_budget_stops_the_run_and_a_higher_one_goes_on(people, endpoint, hub_of):
    priced = ["models.default.in_mtok_cost=100", "models.default.out_mtok_cost=100", "models.default.response_format=json_schema"]
    small = hub_of(endpoint, *priced, "inference.budget_usd=0.6", "models.default.generation_params={max_tokens: 400}")
    with pytest.raises(BudgetExceeded, match="Raise it"):
        run(small, "synthesize")
    stats = endpoint.stats()
    spent = (stats["prompt_tokens"] + stats["completion_tokens"]) * 100 / 1e6
    ledger = table(small, "completions")
    assert 0 < spent <= 0.6
    assert ledger.agg(F.sum("cost_usd")).collect()[0][0] == pytest.approx(spent)
    assert 0 < ledger.count() == stats["requests"] < len(PERSONAS)
    assert table(small, "examples").count() == ledger.count()  # what was bought is there to be used
    asks_first = hub_of(endpoint, *priced[:2], "inference.budget_usd=0.01", "models.default.generation_params={max_tokens: 400}")
    with pytest.raises(BudgetExceeded, match="has spent"):  # before the endpoint is asked how it wants to be asked
        run(asks_first, "synthesize")
    assert endpoint.stats()["requests"] == stats["requests"]
    large = hub_of(endpoint, *priced, "inference.budget_usd=100", "models.default.generation_params={max_tokens: 400}")
    assert run(large, "synthesize")[0].counts["calls"] == len(PERSONAS) - stats["requests"]
    assert endpoint.stats()["requests"] == len(PERSONAS)


@pytest.fixture
def wrong_key(tmp_path):
    """In a file: an engine that runs already does not see what is set in this process's environment."""
    (tmp_path / "key").write_text("sk-wrong-key-123456")
    return ["models.default.api_key_env=null", f"models.default.api_key_file={tmp_path / 'key'}"]


def test_a_refused_key_and_a_dead_endpoint_buy_nothing(people, hub_of, monkeypatch, wrong_key):
    monkeypatch.setenv("TEST_KEY", "sk-wrong-key-123456")
    with mockserver.start(port=0, key="sk-right") as server:
        config = hub_of(server, "models.default.api_key_env=TEST_KEY")
        with pytest.raises(AuthenticationError) as refused:
            run(config, "synthesize")
        where = f"models.default: {server.base_url} (model mock) refused the key from"
        assert str(refused.value).startswith(f"{where} $TEST_KEY: HTTP 401 ")
        assert "wrong-key" not in str(refused.value)
        blind = hub_of(server, *wrong_key, "models.default.response_format=json_schema")
        with pytest.raises(AuthenticationError) as refused:  # without a probe, by the first calls
            run(blind, "synthesize")
        assert str(refused.value).startswith(f"{where} the file /")
        assert "wrong-key" not in str(refused.value)
        with pytest.raises(
            AuthenticationError, match=r"models\.default: .* refused a request without a key, as api_key_env is null"
        ):
            run(hub_of(server, "models.default.api_key_env=null"), "synthesize")
        unread = hub_of(server, "models.default={api_key_env: UNSET_KEY, api_key_file: /nowhere/key}")
        with pytest.raises(AuthenticationError, match=r"models\.default: cannot read the key from api_key_file /nowhere/key"):
            run(unread, "synthesize")
        assert server.stats()["sold"] == 0
    model = config.models["default"]
    with pytest.raises(EndpointError, match="does not answer as"), pipeline.open_hub(config) as hub:
        dialect_of(hub, RequestBatch("synthesize", "examples", hub.store.table("requests"), model, {}), model)
    with pytest.raises(EndpointError, match="attempts failed"):
        run(blind, "synthesize")
    ledger = table(config, "completions").collect()
    assert not any(row.final for row in ledger)
    assert "wrong-key" not in str(ledger)
    assert [row.status for row in table(config, "runs").where("stage = 'synthesize'").collect()].count("done") == 0


def test_a_root_in_use_is_refused(tmp_path, endpoint, hub_of):
    config = hub_of(endpoint)
    with Lease(config.root, "somebody"), pytest.raises(RootInUse, match="run somebody"):
        imported(config, write_personas(tmp_path / "p.jsonl", PERSONAS))


def test_a_preview_shows_prompts_and_answers_and_no_other_settings_buy_them_again(people, endpoint, hub_of):
    config = hub_of(endpoint)
    for _ in range(2):
        with pipeline.open_hub(config, spend=True) as hub:
            shown = pipeline.preview(hub, "synthesize", 3)
        assert len(shown) == 3
        assert all(each.text and each.messages[1]["role"] == "user" for each in shown)
        assert endpoint.stats()["requests"] == 3 + 1  # and the probe
    with pipeline.open_hub(config) as hub:
        [estimate] = pipeline.estimates(hub, ["synthesize"])
    assert (estimate.calls, estimate.reused) == (len(PERSONAS) - 3, 3)
    assert estimate.prompt_tokens > 0
    assert "preview" not in estimate.note  # the ledger knows how long answers are
    other = hub_of(
        endpoint, "models.default.max_retries=2", "inference.requests_per_commit=3", "models.default.max_concurrent_requests=3"
    )
    assert run(other, "synthesize")[0].counts["calls"] == len(PERSONAS) - 3
    assert endpoint.stats()["requests"] == len(PERSONAS) + 1


def test_a_missing_path_is_told_before_anything_starts():
    with pytest.raises(InputError, match=r"nowhere"):
        pipeline.check(load(overrides=["documents.path=/nowhere/at/all"]), ["documents"])
    with pytest.raises(InputError, match=r"no file /nowhere"):
        pipeline.personas_file("/nowhere.jsonl")


@pytest.mark.parametrize("name", ["redpajama_v2"])
def test_every_real_document_leads_to_personas_or_a_reject(shared_data, endpoint, hub_of, name):
    config = hub_of(endpoint, f"documents.path={shared_data / name}")
    documents, personas = run(config, "documents", "text-to-persona")
    assert documents.counts["documents"] + documents.counts["rejects"] == 30
    asked = table(config, "documents").select(F.col("document_id").alias("source_id"))
    led = (
        table(config, "lineage")
        .select(F.col("parent_id").alias("source_id"))
        .unionByName(table(config, "rejects").select("source_id"))
    )
    assert asked.join(led, on="source_id", how="left_anti").count() == 0
    assert personas.counts["personas"] > 0


def test_a_run_that_dies_between_two_tables_is_finished_by_the_next(demo, tmp_path, hub_of, monkeypatch):
    shutil.copytree(demo.out / "hub" / "documents", tmp_path / "hub" / "documents")
    with mockserver.start(port=0, median=0.01, fault_rate=0.4, faults=("wrong_schema",), seed=2) as server:
        config = hub_of(server, "models.default.response_format=json_schema")
        insert_new = Store.insert_new

        def dies(store, rows, name, stored=False):
            if name == "rejects" and store.exists("lineage"):
                raise KeyboardInterrupt
            return insert_new(store, rows, name, stored)

        monkeypatch.setattr(Store, "insert_new", dies)
        with pytest.raises(Interrupted):
            run(config, "text-to-persona")
        monkeypatch.undo()
        requests = server.stats()["requests"]
        run(config, "text-to-persona")
        assert server.stats()["requests"] == requests
    pairs = table(config, "completions").where("final and error_kind is not null")
    assert pairs.count() > 0
    refused = table(config, "rejects").select("completion_id")
    assert pairs.join(refused, on="completion_id", how="left_anti").count() == 0


@pytest.mark.spark
def test_tables_may_lie_in_a_catalog(tmp_path, endpoint, spark):
    spark.sql("CREATE SCHEMA IF NOT EXISTS pipeline_test")
    overrides = [
        "catalog=spark_catalog.pipeline_test",
        f"inference.journal_path={tmp_path}",
        f"models.default.base_url={endpoint.base_url}",
    ]
    config = load(overrides=overrides)
    imported(config, write_personas(tmp_path / "p.jsonl", PERSONAS[:8]))
    assert run(config, "synthesize")[0].counts["examples"] == 8
    assert run(config, "synthesize")[0].counts["calls"] == 0
    assert endpoint.stats()["requests"] == 8 + 1
    left = {row.tableName for row in spark.sql("SHOW TABLES IN pipeline_test").collect()}
    assert not {name for name in left if name.startswith(("held_", "scratch_synthesize_windows"))}
    spark.sql("DROP SCHEMA pipeline_test CASCADE")


def test_a_budget_that_nobody_can_hold_buys_nothing(people, endpoint, hub_of, monkeypatch):
    found = executor.ExecutorProbe(governed=False, journaled=True, key_problem=None)
    monkeypatch.setattr(executor, "probe_executors", lambda *_: found)
    priced = ["models.default.in_mtok_cost=1", "models.default.out_mtok_cost=1", "models.default.response_format=json_schema"]
    config = hub_of(endpoint, *priced, "inference.budget_usd=5")
    with pytest.raises(ConfigError, match="cannot be held"):
        run(config, "synthesize")
    assert endpoint.stats()["requests"] == 0
    unbounded = run(hub_of(endpoint, *priced), "synthesize")[0].counts
    assert unbounded["examples"] == len(PERSONAS)  # on fixed shares, without a budget


def test_what_tasks_meet_that_no_governor_hears_is_told(people, hub_of, monkeypatch, wrong_key):
    found = executor.ExecutorProbe(governed=False, journaled=True, key_problem=None)
    monkeypatch.setattr(executor, "probe_executors", lambda *_: found)
    with mockserver.start(port=0, key="sk-right") as server:
        config = hub_of(server, *wrong_key, "models.default.response_format=json_schema")
        with pytest.raises(AuthenticationError, match=r"models\.default: .* refused the key from the file /.*key: HTTP 401 "):
            run(config, "synthesize")
    with pytest.raises(EndpointError, match="no request was answered"):
        run(config, "synthesize")


def test_ctrl_c_ends_what_spark_is_at(spark, tmp_path):
    def slow(batches):
        for batch in batches:
            time.sleep(60)
            yield batch

    began = threading.Event()

    def interrupt():
        began.wait()
        time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGINT)

    def job():
        with pipeline.open_hub(load(overrides=[f"root={tmp_path}"]), spend=True) as hub:
            began.set()
            hub.spark.range(1).mapInArrow(slow, "id long").collect()

    threading.Thread(target=interrupt, daemon=True).start()
    handler, start = signal.getsignal(signal.SIGINT), time.monotonic()
    with pytest.raises(Interrupted, match="run again to go on"):
        job()
    assert time.monotonic() - start < 40
    assert signal.getsignal(signal.SIGINT) is handler
    with pipeline.open_hub(load(overrides=[f"root={tmp_path}"]), spend=True) as hub:  # neither the lease nor the session is lost
        assert hub.spark.range(3).count() == 3


def test_what_is_refused_alike_is_no_verdict_and_stops_only_a_stage_that_was_never_served(people, tmp_path, hub_of):
    settings = ("models.default.response_format=json_schema", "synthesis.max_personas=3")
    with mockserver.start(port=0, capacity=8, median=0.01, response_formats="none") as refusing:
        config = hub_of(refusing, *settings)
        with pytest.raises(EndpointError, match="refused every request alike"):
            run(config, "synthesize")
    assert table(config, "completions").where("final").count() == 0
    with mockserver.start(port=0, capacity=8, median=0.01) as server:
        (made,) = run(hub_of(server, *settings), "synthesize")
    assert made.counts["calls"] == 3
    with mockserver.start(port=0, capacity=8, median=0.01, response_formats="none") as refusing:
        more = hub_of(refusing, settings[0], "synthesis.max_personas=5")
        with pytest.raises(TransientFailures, match="2 of synthesize"):
            run(more, "synthesize")
    assert table(config, "completions").where("final").count() == 3
