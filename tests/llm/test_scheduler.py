"""One slot's calls against the mock server: the server's own counters are the judge."""

import asyncio
import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager

import pytest

from personahub import mockserver
from personahub.config import Model
from personahub.config.models import Endpoint
from personahub.errors import ErrorKind
from personahub.llm.chat import ChatClient
from personahub.llm.dialects import Dialect
from personahub.llm.governor import Governor
from personahub.llm.governor_server import Address, GovernorServer, HttpLink, LocalLink, reachable
from personahub.llm.scheduler import Scheduler
from personahub.llm.types import Attempt, ChatCall, EndpointLimits, Limits


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


@pytest.fixture
def unused_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def calls(n: int, prefix: str = "call") -> list[ChatCall]:
    return [
        ChatCall(f"{prefix}-{i}", "source", 0, "p", "1", [{"role": "user", "content": f"Write about {prefix} {i}"}])
        for i in range(n)
    ]


@contextmanager
def running(loop, model, link, record=lambda outcome: [outcome], tasks=1):
    async def build():
        clients = [ChatClient(member, None, Dialect("none")) for member in model.pool]
        return clients, [Scheduler(clients, link, model, f"task-{i}", 1, record, loop) for i in range(tasks)]

    clients, schedulers = asyncio.run_coroutine_threadsafe(build(), loop).result()
    for scheduler in schedulers:
        scheduler.start()
    yield schedulers
    for client in clients:
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
        governor = Governor(Limits((EndpointLimits(16),)), total=60)
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
        governor = Governor(Limits((EndpointLimits(16),)), total=80)
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
        governor = Governor(Limits((EndpointLimits(4),)), total=50)
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
        governor = Governor(Limits((EndpointLimits(8),)), total=100)
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
        governor = Governor(Limits((EndpointLimits(8),), budget_usd=0.02, usd_each=0.002), total=500)
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
        governor = Governor(Limits((EndpointLimits(4),), budget_usd=0.05, usd_each=0.011), total=500)
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
        governor = Governor(Limits((EndpointLimits(2),), budget_usd=0.11, usd_each=0.011), total=50)  # 1,024 tokens and a prompt
        with running(loop, model, LocalLink(governor)) as [scheduler]:
            scheduler.offer(calls(50))
            scheduler.close_input()
            drain(scheduler)
        requests = server.stats()["requests"]
    assert governor.stop_kind == "budget"
    assert 5 < requests <= 10


def test_a_governor_answers_only_to_its_token():
    with GovernorServer(Governor(Limits((EndpointLimits(1),)))) as carrier:
        assert asyncio.run(reachable(carrier.address))
        assert not asyncio.run(reachable(Address(carrier.address.url, "guess")))
    assert not asyncio.run(reachable(carrier.address))


async def _link(address: Address) -> HttpLink:
    return HttpLink(address)


class Scripted:
    """A client that gives each call the kind of error (or None, an answer) that its id stands for."""

    def __init__(self, kinds, delay=lambda call: 0.0, retry_after=None):
        self.kinds, self.delay, self.asked, self.retry_after = kinds, delay, 0, retry_after

    async def attempt(self, call, messages=None):
        self.asked += 1
        await asyncio.sleep(self.delay(call))
        kind = self.kinds(int(call.completion_id.rpartition("-")[2]))
        message = None if kind is None else "HTTP 403: blocked"
        return Attempt(kind, text="An answer." if kind is None else None, message=message, retry_after=self.retry_after)


def scripted(loop, clients, governor, tasks):
    """The outcomes of tasks with the calls of each."""
    model = Model()
    if len(clients) > 1:
        model = Model(endpoints=tuple(Endpoint(base_url=f"http://{n}/v1") for n in range(len(clients))))

    async def build():
        return [
            Scheduler(clients, LocalLink(governor), model, f"task-{n}", 1, lambda one: [one], loop) for n in range(len(tasks))
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
    governor = Governor(Limits((EndpointLimits(2),)), total=8)
    [outcomes] = scripted(loop, [client], governor, [calls(8)])
    refused = [outcome for outcome in outcomes if outcome.kind is not None]
    assert [(outcome.call.completion_id, outcome.final, outcome.kind) for outcome in refused] == [("call-0", True, kind)]
    assert (len(outcomes), client.asked, governor.stop) == (8, 8, None)


def test_what_another_task_was_answered_makes_a_refusal_a_verdict(loop):
    client = Scripted(lambda n: ErrorKind.FORBIDDEN if n == 0 else None)
    governor = Governor(Limits((EndpointLimits(2),)), total=2)
    scripted(loop, [client], governor, [[calls(2)[1]]])
    [outcomes] = scripted(loop, [client], governor, [[calls(2)[0]]])
    assert [(outcome.final, outcome.kind) for outcome in outcomes] == [(True, ErrorKind.FORBIDDEN)]


@pytest.mark.parametrize("kind", [ErrorKind.FORBIDDEN, ErrorKind.BAD_REQUEST])
@pytest.mark.parametrize("count", [3, 200])
def test_what_is_refused_alike_for_all_is_no_verdict_and_stops(loop, kind, count):
    client = Scripted(lambda n: kind, delay=lambda call: 0.05)
    governor = Governor(Limits((EndpointLimits(4),)), total=count)
    [outcomes] = scripted(loop, [client], governor, [calls(count)])
    assert {(outcome.final, outcome.kind) for outcome in outcomes} == {(False, kind)}
    assert len(outcomes) == client.asked < 50
    assert governor.refusal == "HTTP 403: blocked"
    assert (governor.stop_kind == "error_rate" and "blocked" in governor.stop) if count > 20 else governor.stop is None


def test_an_endpoint_that_restarts_costs_no_call_its_retries_nor_its_deadline(loop):
    governor = Governor(Limits((EndpointLimits(16),)), total=600)
    with mockserver.start(port=0, capacity=16, median=0.02) as server:
        port = int(server.base_url.rpartition(":")[2].removesuffix("/v1"))
        model = Model(base_url=server.base_url, max_retries=3, deadline_seconds=2.5)
        running_now = running(loop, model, LocalLink(governor))
        [scheduler] = running_now.__enter__()
        scheduler.offer(calls(600))
        scheduler.close_input()
        while server.stats()["requests"] < 100:
            time.sleep(0.02)
    time.sleep(3.5)  # longer than any deadline
    assert "has been out for" in governor.snapshot().out
    with mockserver.start(port=port, capacity=16, median=0.02) as server:
        outcomes = drain(scheduler)
        running_now.__exit__(None, None, None)
    assert governor.stop is None
    assert len({outcome.call.completion_id for outcome in outcomes}) == len(outcomes) == 600
    assert {(outcome.final, outcome.kind) for outcome in outcomes} == {(True, None)}
    # in flight when it went, again once or twice until that was clear, and the trials
    assert governor.snapshot().errors["connection"] <= 3 * 16 + 10


def test_a_pool_goes_on_without_the_one_that_is_away_and_says_who_answered(loop, unused_port):
    with mockserver.start(port=0, capacity=8, median=0.02) as one, mockserver.start(port=0, capacity=8, median=0.02) as other:
        urls = [one.base_url, f"http://127.0.0.1:{unused_port}/v1", other.base_url]
        model = Model(endpoints=tuple(Endpoint(base_url=url, max_concurrent_requests=8) for url in urls), max_retries=1)
        governor = Governor(Limits(tuple(EndpointLimits(8, name=url) for url in urls)), total=300)
        with running(loop, model, LocalLink(governor), tasks=2) as schedulers:
            for number, scheduler in enumerate(schedulers):
                scheduler.offer(calls(150, f"c{number}"))
                scheduler.close_input()
            outcomes = [outcome for scheduler in schedulers for outcome in drain(scheduler)]
        assert all(outcome.final and outcome.kind is None for outcome in outcomes)
        by = Counter(outcome.endpoint for outcome in outcomes)
        assert (by[0], by[2]) == (one.stats()["requests"], other.stats()["requests"])
    assert by[0] + by[2] == 300
    assert min(by[0], by[2]) >= 60
    assert governor.snapshot().errors["connection"] <= 3


def test_what_one_endpoint_of_a_pool_throttles_the_other_answers_at_once(loop):
    throttling, other = Scripted(lambda n: ErrorKind.RATE_LIMIT, retry_after=60.0), Scripted(lambda n: None)
    governor = Governor(Limits((EndpointLimits(2), EndpointLimits(2))), total=20)
    began = time.monotonic()
    [outcomes] = scripted(loop, [throttling, other], governor, [calls(20)])
    assert {(outcome.endpoint, outcome.kind) for outcome in outcomes} == {(1, None)}
    assert throttling.asked >= 1
    assert time.monotonic() - began < 10


def test_a_key_that_one_endpoint_of_a_pool_refuses_costs_no_row(loop):
    refusing, other = Scripted(lambda n: ErrorKind.AUTHENTICATION), Scripted(lambda n: None, delay=lambda call: 0.02)
    governor = Governor(Limits((EndpointLimits(2), EndpointLimits(2))), total=20)
    [outcomes] = scripted(loop, [refusing, other], governor, [calls(20)])
    assert {(outcome.endpoint, outcome.final, outcome.kind) for outcome in outcomes} == {(1, True, None)}
    assert (len(outcomes), governor.stop) == (20, None)
    assert 1 <= refusing.asked <= 3


def test_a_weight_is_the_share_of_an_endpoint_that_has_room(loop):
    clients = [Scripted(lambda n: None, delay=lambda call: 0.05) for _ in range(2)]
    governor = Governor(Limits((EndpointLimits(32), EndpointLimits(32))), total=300)

    async def build():
        endpoints = (Endpoint(base_url="http://a/v1", weight=3.0), Endpoint(base_url="http://b/v1"))
        return Scheduler(clients, LocalLink(governor), Model(endpoints=endpoints), "task", 1, lambda one: [one], loop)

    scheduler = asyncio.run_coroutine_threadsafe(build(), loop).result()
    scheduler.start()
    for part in range(30):  # at most ten in flight: both have room
        scheduler.offer(calls(10, f"c{part}"))
        time.sleep(0.06)
    scheduler.close_input()
    assert len(drain(scheduler)) == 300
    assert 2.0 <= clients[0].asked / clients[1].asked <= 4.0


def test_parameters_that_a_real_server_refuses_cost_no_try_and_no_answer(loop):
    with mockserver.start(port=0, capacity=16, median=0.01, like="openai") as server:
        params = {"max_tokens": 512, "temperature": 0.5}
        model = Model(base_url=server.base_url, max_concurrent_requests=16, generation_params=params, max_retries=0)
        governor = Governor(Limits((EndpointLimits(16),), max_error_rate=0.05), total=120)
        with running(loop, model, LocalLink(governor)) as (scheduler,):
            scheduler.offer(calls(120))
            scheduler.close_input()
            outcomes = drain(scheduler)
        stats = server.stats()
    assert [outcome.kind for outcome in outcomes] == [None] * 120
    assert governor.stop is None
    assert 2 <= stats["by_status"]["400"] <= 32  # those that were in flight when the first refusals came
    assert (stats["sold"], stats["bought_twice"]) == (120, 0)
