"""Text-to-persona through the Batch API of the mock server, whose count of sales is the money."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from pyspark.sql import functions as F

sys.path.insert(0, str(Path(__file__).parents[2]))
import killing

from personahub import pipeline
from personahub.config import load
from personahub.errors import BudgetExceeded, ConfigError, EndpointError, Interrupted
from personahub.inference.batches import tables

CALLS = 30
IN, OUT = 10.0, 40.0  # $ per million tokens
TEXT = "Number {}. Stir 300 g of rye flour into the starter. It will smell of apples by morning; the dome should just begin to crack."


@pytest.fixture(scope="module")
def read_once(spark, tmp_path_factory):
    folder = tmp_path_factory.mktemp("documents")
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": TEXT.format(n)}) + "\n" for n in range(CALLS)))
    settings = [
        f"root={folder / 'hub'}",
        "documents.format=jsonl",
        f"documents.path={folder / 'texts.jsonl'}",
        "documents.languages=[]",
    ]
    run(settings, "documents")
    return folder / "hub"


@pytest.fixture
def settings_of(read_once, tmp_path):
    """`settings_of(server, ...)`: overrides of a hub of CALLS documents that buys in batches of 10."""
    roots = iter(range(9))

    def make(server, *overrides, size=10):
        root = tmp_path / f"hub{next(roots)}"
        shutil.copytree(read_once, root)
        endpoint = [
            f"models.default.{key}={value}" for key, value in {"base_url": server.base_url, "api_key_env": "null"}.items()
        ]
        prices = [f"models.default.in_mtok_cost={IN}", f"models.default.out_mtok_cost={OUT}"]
        batch = [f"models.default.batch={{enabled: true, max_requests: {size}}}"] if size else []
        return [f"root={root}", *endpoint, *prices, "models.default.response_format=json_schema", *batch, *overrides]

    return make


def run(settings, *stages):
    config = load(overrides=settings)
    with pipeline.open_hub(config, spend=True) as hub:
        return list(pipeline.run(hub, pipeline.check(config, stages or ("text-to-persona",))))


def rows(settings, *columns, table="completions", by=0):
    with pipeline.open_hub(load(overrides=settings)) as hub:
        found = hub.store.table(table)
        found = found.where("final AND stage <> 'probe'") if table == "completions" else found
        return sorted((tuple(row) for row in found.select(*columns).collect()), key=lambda row: row[by])


def counted(server, settings):
    """The server's count without the probes, which are few and online."""
    stats = server.stats()
    with pipeline.open_hub(load(overrides=settings)) as hub:
        probes = hub.store.table("completions").where("stage = 'probe'").agg(F.sum("attempts")).collect()[0][0] or 0
    return stats | {name: stats[name] - probes for name in ("requests", "sold", "billed", "distinct_bodies")}


def states(settings):
    with pipeline.open_hub(load(overrides=settings)) as hub:
        return [(one.state, one.provider_status, one.requests) for one in tables.states(hub.store)]


@pytest.mark.engines
def test_a_hub_that_is_half_bought_online_is_one_hub_and_the_other_half_costs_half(settings_of, mock_server):
    server = mock_server(key=None)
    online, half = settings_of(server, size=None), settings_of(server)
    run(online)
    server.reset()
    with pipeline.open_hub(load(overrides=half), spend=True) as hub:
        shown = pipeline.preview(hub, "text-to-persona", 12)
    assert sum(one.text is not None for one in shown) == 12
    assert server.stats()["batches"] == 0  # someone waits for a preview
    (result,) = run(half)
    assert (result.counts["calls"], result.counts["reused"], result.counts["failed"]) == (CALLS - 12, 12, 0)
    stats = counted(server, half)
    assert (stats["sold"], stats["bought_twice"], stats["batches"]) == (CALLS, 0, 2)
    same = (
        "completion_id",
        "source_id",
        "text",
        "finish_reason",
        "prompt_version",
        "prompt_tokens",
        "completion_tokens",
        "purpose",
    )
    assert rows(half, *same) == rows(online, *same)
    for table, columns in (("personas", ("persona_id", "persona")), ("lineage", ("child_id", "parent_id", "completion_id"))):
        assert rows(half, *columns, table=table) == rows(online, *columns, table=table)
    share = [cost * 1e6 / (tokens_in * IN + tokens_out * OUT) for cost, tokens_in, tokens_out in costs(half)]
    assert [round(one, 6) for one in sorted(share)] == [0.5] * (CALLS - 12) + [1.0] * 12
    assert states(half) == [("collected", "completed", 10), ("collected", "completed", 8)]
    run(half)
    run([*half, "models.default.batch=false"])
    assert counted(server, half)["requests"] == stats["requests"]


def costs(settings):
    return rows(settings, "cost_usd", "prompt_tokens", "completion_tokens")


@pytest.mark.slow
def test_however_batches_and_their_lines_end_each_request_is_bought_once(settings_of, mock_server):
    ends = ("expired", "failed", "no_output", "repeated", "unheard", "late", "token_limit", "nothing", "unmade")
    server = mock_server(batch_ends=ends, batch_seconds=0.05, fault_rate=0.2, faults=("wrong_schema", "500", "content_filter"))
    settings = settings_of(server, size=5)
    (result,) = run(settings)
    assert (result.counts["calls"], result.counts["failed"]) == (CALLS, 0)
    kinds = [kind for _, kind in rows(settings, "completion_id", "error_kind")]
    assert (len(kinds), set(kinds)) == (CALLS, {None, "prompt_filtered"})
    stats = counted(server, settings)
    assert (stats["sold"], stats["bought_twice"]) == (kinds.count(None), 0)
    assert stats["faults"]["wrong_schema"] > 0
    found = states(settings)
    assert {state for state, *_ in found} == {"collected", "not_made"}
    assert {status for _, status, _ in found} == {"completed", "expired", "failed", None}


def test_the_second_answer_of_no_use_is_the_last(settings_of, mock_server):
    server = mock_server(fault_rate=1.0, faults=("wrong_schema",))
    settings = settings_of(server)
    run(settings)
    assert {kind for _, kind in rows(settings, "completion_id", "error_kind")} == {"invalid"}
    stats = counted(server, settings)
    assert (stats["billed"], stats["distinct_bodies"]) == (
        2 * CALLS,
        2 * CALLS,
    )  # the second time its answer is shown to the model
    run(settings)
    assert counted(server, settings)["requests"] == stats["requests"]


@pytest.mark.slow
def test_a_budget_holds_what_is_enqueued_at_its_upper_estimate(settings_of, mock_server):
    server = mock_server(batch_seconds=0.3)
    settings = settings_of(server, "models.default.generation_params={max_tokens: 400}", "inference.budget_usd=0.1")
    with pytest.raises(BudgetExceeded):
        run(settings)
    spent = sum(cost for cost, *_ in costs(settings))
    assert 0.05 < spent <= 0.1
    sold = counted(server, settings)["sold"]
    assert 0 < sold < CALLS
    run([*settings, "inference.budget_usd=1"])
    stats = counted(server, settings)
    assert (stats["sold"], stats["bought_twice"]) == (CALLS, 0)


def test_an_endpoint_that_refuses_all_alike_ends_the_stage(settings_of, mock_server):
    server = mock_server(fault_rate=1.0, faults=("quota",))
    with pytest.raises(EndpointError, match="insufficient_quota"):
        run(settings_of(server))


def test_ctrl_c_leaves_the_batches_and_cancelling_them_keeps_what_was_paid_for(settings_of, mock_server, monkeypatch):
    monkeypatch.setenv("OF_A_GATEWAY", "right")
    server = mock_server(batch_seconds=60.0, like="azure", odd_rate=0.0, key="right")
    key = ("models.default.api_key_env=OF_A_GATEWAY", "models.default.headers={api-key: '${api_key}'}")
    settings = settings_of(server, *key)

    def interrupt():
        while server.stats()["batches"] < 3:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(Interrupted, match="3 batches with 30 requests go on at the endpoint"):
        run(settings)
    assert {state for state, *_ in states(settings)} == {"running"}
    with pipeline.open_hub(load(overrides=settings), spend=True) as hub:
        assert pipeline.estimates(hub, ["text-to-persona"])[0].calls == 0  # what is in a batch counts as asked
        assert "text-to-persona: 3 batches with 30 requests are at" in pipeline.progress(hub)[0]
        with pytest.raises(ConfigError, match="no open batch has an id that begins with 'x'"):
            pipeline.cancel_batches(hub, ["x"])
        ended = pipeline.cancel_batches(hub)
        assert [(one.state, one.provider_status) for one in ended] == [("collected", "cancelled")] * 3
        assert not pipeline.cancel_batches(hub)
    assert (
        len(rows(settings, "completion_id")) == counted(server, settings)["sold"] == CALLS // 2
    )  # half of each was answered by then
    (result,) = run([*settings, "models.default.batch=false"])
    assert (result.counts["calls"], result.counts["reused"], result.counts["failed"]) == (CALLS // 2, CALLS // 2, 0)
    stats = counted(server, settings)
    assert (stats["sold"], stats["bought_twice"], stats["batches"]) == (CALLS, 0, 3)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the processes of a run in /proc")
def test_kills_at_any_moment_of_a_batch_buy_nothing_twice(settings_of, mock_server):
    server = mock_server(batch_seconds=2.0, batch_ends=("late", "completed", "late"))
    settings = settings_of(server)
    sets = [part for each in settings for part in ("--set", each)]

    def start():
        command = [sys.executable, "-m", "personahub", "run", "text-to-persona", "--yes", *sets]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def made(count):
        return lambda: server.stats()["batches"] >= count

    def collected():
        return bool(list((Path(settings[0].partition("=")[2]) / "completions").rglob("*.parquet")))

    # before the making of a batch is told, when it just was, before it is again, and when answers come
    for moment in (made(1), made(2), made(3), collected):
        assert killing.kill_when(start(), moment)
    assert start().wait() == 0
    stats = counted(server, settings)
    assert (stats["sold"], stats["bought_twice"], stats["batches"]) == (CALLS, 0, 3)
    assert len(rows(settings, "completion_id")) == CALLS
    with pipeline.open_hub(load(overrides=settings)) as hub:
        assert hub.store.table("completions").groupBy("completion_id").count().where(F.col("count") > 1).isEmpty()
