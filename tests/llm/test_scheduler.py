"""One slot's calls against the mock server: the server's own counters are the judge."""

import asyncio
import threading
import time
from contextlib import contextmanager

import pytest

from personahub import mockserver
from personahub.config import Model
from personahub.errors import ErrorKind
from personahub.llm.chat import ChatClient
from personahub.llm.dialects import Dialect
from personahub.llm.governor import Governor, Limits
from personahub.llm.governor_server import Address, GovernorServer, HttpLink, LocalLink, reachable
from personahub.llm.scheduler import Scheduler
from personahub.llm.types import Attempt, ChatCall


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def calls(n: int, prefix: str = "call") -> list[ChatCall]:
    return [
        ChatCall(f"{prefix}-{i}", "source", 0, "p", "1", [{"role": "user", "content": f"Write about {prefix} {i}"}])
        for i in range(n)
    ]


@contextmanager
def running(loop, model, link, record=lambda outcome: [outcome], tasks=1):
    async def build():
        client = ChatClient(model, None, Dialect("none"))
        return client, [Scheduler(client, link, model, f"task-{i}", 1, record, loop) for i in range(tasks)]

    client, schedulers = asyncio.run_coroutine_threadsafe(build(), loop).result()
    for scheduler in schedulers:
        scheduler.start()
    yield schedulers
    asyncio.run_coroutine_threadsafe(client.close(), loop).result()


def drain(scheduler):
    outcomes, ended = [], False
    while not ended:
        more, ended = scheduler.take(1.0)
        outcomes += more
    return outcomes


def test_each_call_is_answered_once_and_recorded_before_it_is_handed_on(loop):
    recorded = []

    def record(outcome):
        recorded.append(outcome)
        return [outcome]

    with mockserver.start(port=0, capacity=16, median=0.01) as server:
        model = Model(base_url=server.base_url, max_concurrent_requests=16)
        governor = Governor(Limits(16), total=60)
        with running(loop, model, LocalLink(governor), record, tasks=2) as schedulers:
            for number, scheduler in enumerate(schedulers):
                scheduler.offer(calls(30, f"c{number}"))
                scheduler.close_input()
            outcomes = [outcome for scheduler in schedulers for outcome in drain(scheduler)]
        stats = server.stats()
    assert {outcome.call.completion_id for outcome in outcomes} == {f"c{n}-{i}" for n in (0, 1) for i in range(30)}
    assert len(outcomes) == len(recorded) == stats["requests"] == 60
    assert all(outcome.final and outcome.kind is None and outcome.attempts == 1 for outcome in outcomes)
    assert stats["max_in_flight"] <= 16
    assert (governor.snapshot().done, governor.snapshot().in_flight) == (60, 0)


def test_faults_are_retried_inside_the_window_and_nothing_is_lost(loop):
    with mockserver.start(port=0, capacity=16, median=0.01, fault_rate=0.3, seed=3) as server:
        model = Model(base_url=server.base_url, request_timeout=1.0)
        governor = Governor(Limits(16), total=80)
        with running(loop, model, LocalLink(governor)) as [scheduler]:
            scheduler.offer(calls(80))
            scheduler.close_input()
            outcomes = drain(scheduler)
        stats = server.stats()
    assert len({outcome.call.completion_id for outcome in outcomes}) == len(outcomes) == 80
    assert all(outcome.final for outcome in outcomes)
    assert sum(outcome.kind is None for outcome in outcomes) >= 0.98 * 80
    assert sum(outcome.attempts for outcome in outcomes) == stats["requests"] == governor.snapshot().requests > 80


def test_a_refused_key_stops_at_once_and_leaves_the_calls_unanswered(loop):
    with mockserver.start(port=0, key="right", median=0.01) as server:
        model = Model(base_url=server.base_url)
        governor = Governor(Limits(4), total=50)
        with running(loop, model, LocalLink(governor)) as [scheduler]:
            scheduler.offer(calls(50))
            scheduler.close_input()
            outcomes = drain(scheduler)
        assert {(outcome.final, outcome.kind) for outcome in outcomes} == {(False, ErrorKind.AUTHENTICATION)}
        assert len(outcomes) == server.stats()["requests"] <= 4
    assert governor.stop_kind == ErrorKind.AUTHENTICATION.value


def test_a_drain_lets_what_is_in_flight_end_and_starts_nothing_more(loop):
    with mockserver.start(port=0, capacity=8, median=0.3, sigma=0.1) as server:
        model = Model(base_url=server.base_url)
        governor = Governor(Limits(8), total=100)
        with running(loop, model, LocalLink(governor)) as [scheduler]:
            scheduler.offer(calls(100))
            scheduler.close_input()
            time.sleep(0.5)
            governor.drain()
            outcomes = drain(scheduler)
        stats = server.stats()
    assert 8 <= len(outcomes) < 40
    assert stats["sold"] == stats["requests"] == len(outcomes)


def test_over_http_the_governor_holds_the_budget(loop):
    with mockserver.start(port=0, median=0.005) as server:
        model = Model(base_url=server.base_url, in_mtok_cost=10.0, out_mtok_cost=10.0)
        governor = Governor(Limits(8, budget_usd=0.02, usd_each=0.002), total=500)
        with GovernorServer(governor) as carrier:
            link = asyncio.run_coroutine_threadsafe(_link(carrier.address), loop).result()
            with running(loop, model, link) as [scheduler]:
                scheduler.offer(calls(500))
                scheduler.close_input()
                outcomes = drain(scheduler)
            asyncio.run_coroutine_threadsafe(link.close(), loop).result()
        stats = server.stats()
    spent = model.cost_usd(stats["prompt_tokens"], stats["completion_tokens"])
    assert governor.stop_kind == "budget"
    assert 0.02 - 0.002 <= spent <= 0.02
    assert len(outcomes) == stats["requests"] < 500


def test_a_budget_holds_where_the_endpoint_tells_no_usage(loop):
    with mockserver.start(port=0, median=0.005, like="litellm") as server:
        model = Model(base_url=server.base_url, in_mtok_cost=10.0, out_mtok_cost=10.0)
        governor = Governor(Limits(4, budget_usd=0.05, usd_each=0.011), total=500)
        with running(loop, model, LocalLink(governor)) as [scheduler]:
            scheduler.offer(calls(500))
            scheduler.close_input()
            outcomes = drain(scheduler)
        stats = server.stats()
    assert governor.stop_kind == "budget"
    assert 5 < len(outcomes) == stats["requests"] < 500
    assert {outcome.usage.estimated for outcome in outcomes} == {True}
    counted = sum(outcome.usage.cost_usd(model) for outcome in outcomes)
    assert model.cost_usd(stats["prompt_tokens"], stats["completion_tokens"]) < counted <= 0.05  # an upper estimate


def test_requests_that_may_be_billed_after_their_timeout_count_against_the_budget(loop):
    with mockserver.start(port=0, median=60.0) as server:
        model = Model(base_url=server.base_url, in_mtok_cost=10.0, out_mtok_cost=10.0, request_timeout=0.2, max_retries=50)
        governor = Governor(Limits(2, budget_usd=0.11, usd_each=0.011), total=50)  # an answer of 1,024 tokens, and a prompt
        with running(loop, model, LocalLink(governor)) as [scheduler]:
            scheduler.offer(calls(50))
            scheduler.close_input()
            drain(scheduler)
        requests = server.stats()["requests"]
    assert governor.stop_kind == "budget"
    assert 5 < requests <= 10


def test_a_governor_answers_only_to_its_token():
    with GovernorServer(Governor(Limits(1))) as carrier:
        assert asyncio.run(reachable(carrier.address))
        assert not asyncio.run(reachable(Address(carrier.address.url, "guess")))
    assert not asyncio.run(reachable(carrier.address))


async def _link(address: Address) -> HttpLink:
    return HttpLink(address)


class Scripted:
    """A client that gives each call the kind of error (or None, an answer) that its id stands for."""

    def __init__(self, kinds, delay=lambda call: 0.0):
        self.kinds, self.delay, self.asked = kinds, delay, 0

    async def attempt(self, call, messages=None):
        self.asked += 1
        await asyncio.sleep(self.delay(call))
        kind = self.kinds(int(call.completion_id.rpartition("-")[2]))
        return Attempt(kind, text="An answer." if kind is None else None, message=None if kind is None else "HTTP 403: blocked")


def scripted(loop, client, governor, tasks):
    """The outcomes of tasks with the calls of each."""

    async def build():
        return [
            Scheduler(client, LocalLink(governor), Model(), f"task-{n}", 1, lambda one: [one], loop) for n in range(len(tasks))
        ]

    schedulers = asyncio.run_coroutine_threadsafe(build(), loop).result()
    for scheduler, asked in zip(schedulers, tasks, strict=True):
        scheduler.start()
        scheduler.offer(asked)
        scheduler.close_input()
    return [drain(scheduler) for scheduler in schedulers]


@pytest.mark.parametrize("kind", [ErrorKind.FORBIDDEN, ErrorKind.BAD_REQUEST])
def test_one_refused_text_is_a_verdict_once_another_is_answered(loop, kind):
    client = Scripted(lambda n: kind if n == 0 else None, delay=lambda call: 0.0 if call.completion_id.endswith("-0") else 0.3)
    governor = Governor(Limits(2), total=8)
    [outcomes] = scripted(loop, client, governor, [calls(8)])
    refused = [outcome for outcome in outcomes if outcome.kind is not None]
    assert [(outcome.call.completion_id, outcome.final, outcome.kind) for outcome in refused] == [("call-0", True, kind)]
    assert (len(outcomes), client.asked, governor.stop) == (8, 8, None)


def test_what_another_task_was_answered_makes_a_refusal_a_verdict(loop):
    client = Scripted(lambda n: ErrorKind.FORBIDDEN if n == 0 else None)
    governor = Governor(Limits(2), total=2)
    scripted(loop, client, governor, [[calls(2)[1]]])
    [outcomes] = scripted(loop, client, governor, [[calls(2)[0]]])
    assert [(outcome.final, outcome.kind) for outcome in outcomes] == [(True, ErrorKind.FORBIDDEN)]


@pytest.mark.parametrize("kind", [ErrorKind.FORBIDDEN, ErrorKind.BAD_REQUEST])
@pytest.mark.parametrize("count", [3, 200])
def test_what_is_refused_alike_for_all_is_no_verdict_and_stops(loop, kind, count):
    client = Scripted(lambda n: kind, delay=lambda call: 0.05)
    governor = Governor(Limits(4), total=count)
    [outcomes] = scripted(loop, client, governor, [calls(count)])
    assert {(outcome.final, outcome.kind) for outcome in outcomes} == {(False, kind)}
    assert len(outcomes) == client.asked < 50
    assert governor.refusal == "HTTP 403: blocked"
    assert (governor.stop_kind == "error_rate" and "blocked" in governor.stop) if count > 20 else governor.stop is None
