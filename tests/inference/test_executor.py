"""One task of the paid step, without Spark: batches of staged requests in, batches of completions out."""

import asyncio
import dataclasses
import pickle
import sys
import threading
import time
from collections import Counter
from types import SimpleNamespace

import pyarrow as pa
import pytest

from personahub import mockserver, schemas
from personahub.config import Model
from personahub.config.models import Endpoint
from personahub.ids import canonical_json
from personahub.inference import executor
from personahub.inference.chat_work import Chats
from personahub.llm import journal
from personahub.llm.dialects import Dialect
from personahub.llm.governor import Governor
from personahub.llm.governor_server import GovernorServer
from personahub.llm.types import EndpointLimits, Limits
from personahub.rows import arrow_schema
from personahub.stages.synthesize import tasks

STAGED = arrow_schema(schemas.REQUESTS)


@pytest.fixture(scope="module", autouse=True)
def closed():
    """What a worker process keeps for as long as it lives, this one must close."""
    yield
    kept = [each for key, each in executor._cache.items() if key[0] not in ("loop", "secret")]
    for each in kept:
        asyncio.run_coroutine_threadsafe(each.close(), executor._loop()).result()
    executor._cache.clear()


@pytest.fixture
def server():
    with mockserver.start(port=0, median=0.01) as running:
        yield running


def plan_of(server, **more):
    model = Model(base_url=server.base_url, in_mtok_cost=1.0, out_mtok_cost=1.0)
    prompt = tasks.load("math").prompts["zero_shot"]
    work = Chats(Dialect(), {prompt.name: prompt})
    return executor.TaskPlan(
        "synthesize", "examples", "run-1", model, (executor.PoolMember(model, work),), Limits((EndpointLimits(8),)), **more
    )


def staged(count):
    """Batches of two."""
    rows = [
        {
            "stage": "synthesize", "source_id": f"s{n}", "sample_index": 0, "completion_id": f"c{n}", "prompt_name": "math",
            "variables": canonical_json({"persona": f"A baker who keeps {n} bees"}),
        }
        for n in range(count)
    ]  # fmt: skip
    return (pa.RecordBatch.from_pylist(rows[start : start + 2], schema=STAGED) for start in range(0, count, 2))


def answered(plan, batches, window=0):
    made = list(executor._answer(plan, window, batches))
    assert all(batch.schema == arrow_schema(schemas.COMPLETIONS) for batch in made)
    return [row for batch in made for row in batch.to_pylist()]


def test_each_request_becomes_a_row_with_what_it_cost(server):
    rows = answered(plan_of(server), staged(9))
    assert {row["completion_id"] for row in rows} == {f"c{n}" for n in range(9)}
    assert len(rows) == 9
    for row in rows:
        assert row["final"]
        assert row["error_kind"] is None
        assert (row["stage"], row["run_id"], row["prompt_name"], row["model"]) == ("synthesize", "run-1", "math", "mock")
        assert row["cost_usd"] == pytest.approx((row["prompt_tokens"] + row["completion_tokens"]) / 1e6)
    assert server.stats()["requests"] == 9


def test_a_task_that_is_tried_again_asks_only_for_what_its_journal_does_not_hold(server, tmp_path):
    plan = plan_of(server, journal_folder=str(tmp_path))
    first = answered(plan, staged(5), window=3)
    assert len(journal.read_window(str(tmp_path), "synthesize", 3)) == 5
    again = answered(plan, staged(8), window=3)
    assert sorted(row["completion_id"] for row in again) == [f"c{n}" for n in range(8)]
    assert server.stats()["requests"] == 8
    assert {row["text"] for row in first} <= {row["text"] for row in again}


def test_tasks_that_share_a_window_leave_each_other_what_the_journal_holds_of_theirs(server, tmp_path):
    """However an engine cuts a window: here the first try was two tasks, the second one is three, cut elsewhere."""
    plan = plan_of(server, journal_folder=str(tmp_path))
    first, second = list(staged(10))[:2], list(staged(10))[2:]
    assert len(answered(plan, iter(first))) + len(answered(plan, iter(second))) == 10
    batches = list(staged(20))
    parts = [answered(plan, iter(part)) for part in (batches[:3], batches[3:4], batches[4:])]
    assert [len(part) for part in parts] == [6, 2, 12]
    assert sorted(row["completion_id"] for part in parts for row in part) == sorted(f"c{n}" for n in range(20))
    assert server.stats()["requests"] == 20


def test_all_that_was_asked_lies_in_the_journal_and_is_handed_on(server, tmp_path):
    plan = plan_of(server, journal_folder=str(tmp_path))
    first = answered(plan, staged(5))
    assert sorted(map(str, answered(plan, staged(5)))) == sorted(map(str, first))
    assert server.stats()["requests"] == 5


def test_a_window_takes_nothing_from_the_journal_of_another(server, tmp_path):
    plan = plan_of(server, journal_folder=str(tmp_path))
    answered(plan, staged(5), window=1)
    assert len(answered(plan, staged(3), window=2)) == 3
    assert server.stats()["requests"] == 8


def test_an_earlier_attempt_that_is_alive_starts_nothing_more_before_its_journal_is_read(tmp_path, monkeypatch):
    """As where the executor is lost and its Python worker is not: it does not know that nobody reads its rows any more."""
    attempts = iter((7, 8))

    def context():
        attempt = next(attempts)
        return SimpleNamespace(partitionId=lambda: 0, taskAttemptId=lambda: attempt, attemptNumber=lambda: attempt - 7)

    monkeypatch.setattr(executor.TaskContext, "get", context)
    with (
        mockserver.start(port=0, median=0.05, sigma=0) as server,
        GovernorServer(Governor(Limits((EndpointLimits(8),)))) as carrier,
    ):
        plan = plan_of(server, governor=carrier.address, journal_folder=str(tmp_path))
        earlier = threading.Thread(target=answered, args=(plan, staged(300)))
        earlier.start()
        while server.stats()["requests"] < 40:
            time.sleep(0.01)
        rows = answered(plan, staged(300))
        earlier.join()
        assert sorted(row["completion_id"] for row in rows) == sorted(f"c{n}" for n in range(300))
        assert server.stats()["requests"] - 300 <= 8


def test_a_stopped_stage_yields_nothing_and_reads_its_input_to_the_end(server):
    governor = Governor(Limits((EndpointLimits(8),)))
    governor.drain()
    with GovernorServer(governor) as carrier:
        batches = staged(20)
        assert answered(plan_of(server, governor=carrier.address), batches) == []
        assert next(batches, None) is None
    assert server.stats()["requests"] == 0


def test_no_input_is_no_output(server):
    assert answered(plan_of(server), iter(())) == []


def test_the_executors_say_what_holds_there(spark, server, tmp_path, monkeypatch):
    journal.write_nonce(str(tmp_path), "nonce")
    model = Model(base_url="https://llm.example.com/v1", api_key_env="A_VARIABLE_THAT_IS_NOT_SET")
    with GovernorServer(Governor(Limits((EndpointLimits(1),)))) as carrier:
        found = executor.probe_executors(spark, model, carrier.address, str(tmp_path), "nonce", tasks=2)
        assert (found.governed, found.journaled) == (True, True)
        assert "A_VARIABLE_THAT_IS_NOT_SET" in found.key_problem
    found = executor.probe_executors(spark, Model(), carrier.address, str(tmp_path), "another nonce", tasks=2)
    assert found == executor.ExecutorProbe(governed=False, journaled=False, key_problem=None)


def test_a_task_takes_a_secret_of_databricks_from_the_driver_and_not_from_the_plan(monkeypatch):
    secrets = SimpleNamespace(get=lambda scope, key: "dapi-0123456789" if (scope, key) == ("llm", "openai") else None)
    monkeypatch.setitem(sys.modules, "databricks.sdk.runtime", SimpleNamespace(dbutils=SimpleNamespace(secrets=secrets)))
    with mockserver.start(port=0, median=0.0, key="dapi-0123456789") as server:
        model = Model(base_url=server.base_url, api_key_env=None, api_key_secret="llm/openai")
        with GovernorServer(Governor(Limits((EndpointLimits(8),))), secrets=["llm/openai"]) as carrier:
            plan = plan_of(server, governor=carrier.address)
            plan = dataclasses.replace(plan, model=model, members=(executor.PoolMember(model, plan.work),))
            assert b"dapi" not in pickle.dumps(plan)
            assert [row["error_kind"] for row in answered(plan, staged(2))] == [None, None]


def test_of_a_pool_the_ledger_says_which_endpoint_answered(server):
    with mockserver.start(port=0, median=0.01) as other:
        plan = plan_of(server)
        urls = (server.base_url, other.base_url)
        model = plan.model.model_copy(update={"endpoints": tuple(Endpoint(base_url=url) for url in urls)})
        members = tuple(executor.PoolMember(each, plan.work) for each in model.pool)
        limits = Limits((EndpointLimits(4), EndpointLimits(4)))
        rows = answered(dataclasses.replace(plan, model=model, members=members, limits=limits), staged(60))
        by = Counter(row["base_url"] for row in rows)
        assert by == {server.base_url: server.stats()["requests"], other.base_url: other.stats()["requests"]}
    assert (sum(by.values()), {row["model"] for row in rows}) == (60, {"mock"})
