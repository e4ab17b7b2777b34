"""The governor on a clock of its own."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personahub.llm.endpoint_health import DOWN_AFTER, LONGEST_TRIAL_SECONDS
from personahub.llm.governor import LEASE_SECONDS, UNLIMITED, Governor
from personahub.llm.types import Counts, EndpointGrant, EndpointLimits, EndpointReport, Limits, Report


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


OF_ONE = EndpointLimits.__dataclass_fields__.keys()


def limits(**given) -> Limits:
    """Of one endpoint."""
    of_one = {name: value for name, value in given.items() if name in OF_ONE}
    return Limits((EndpointLimits(**of_one),), **{name: value for name, value in given.items() if name not in OF_ONE})


def report(task: str, attempt: int, *, wants: int, in_flight: int, counts: Counts | None = None, done=False, **more) -> Report:
    """Of what a task has at the only endpoint."""
    return Report(task, attempt, wants, (EndpointReport(in_flight, counts or Counts(), **more),), done)


def granted(governor: Governor, *arguments, **more) -> EndpointGrant:
    """At the only endpoint."""
    return governor.report(report(*arguments, **more)).endpoints[0]


@pytest.fixture
def clock():
    return Clock()


def test_two_tasks_share_and_a_draining_one_hands_its_permits_on(clock):
    governor = Governor(limits(concurrency=10), clock=clock)
    assert granted(governor, "a", 1, wants=100, in_flight=0).concurrency == 10
    assert granted(governor, "b", 1, wants=100, in_flight=0).concurrency == 0  # all are with a, until it reports
    assert granted(governor, "a", 1, wants=100, in_flight=10).concurrency == 5
    assert granted(governor, "b", 1, wants=100, in_flight=0).concurrency == 0  # ... and until a's calls have ended
    assert granted(governor, "a", 1, wants=2, in_flight=2).concurrency == 2
    assert granted(governor, "b", 1, wants=100, in_flight=0).concurrency == 8
    governor.report(report("a", 1, wants=0, in_flight=0, done=True))
    assert granted(governor, "b", 1, wants=100, in_flight=8).concurrency == 10


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 30)), max_size=60), st.integers(1, 20))
def test_the_sum_over_tasks_never_exceeds_the_limit(reports, concurrency):
    governor = Governor(limits(concurrency=concurrency), clock=Clock())
    allowed: dict[str, int] = {}
    for task, wants in reports:
        in_flight = min(allowed.get(task, 0), wants)
        allowed[task] = granted(governor, task, 1, wants=wants, in_flight=in_flight).concurrency
        assert sum(allowed.values()) <= concurrency


def test_an_older_attempt_of_a_slot_is_fenced(clock):
    governor = Governor(limits(concurrency=10), clock=clock)
    governor.report(report("a", 1, wants=5, in_flight=0))
    assert granted(governor, "a", 2, wants=5, in_flight=0).concurrency == 5
    old = governor.report(report("a", 1, wants=5, in_flight=3))
    assert old.endpoints == ()
    assert old.stop


def test_the_share_of_a_task_that_is_not_heard_goes_to_the_others(clock):
    governor = Governor(limits(concurrency=10), clock=clock)
    governor.report(report("a", 1, wants=10, in_flight=0))
    governor.report(report("b", 1, wants=10, in_flight=0))
    clock.now = LEASE_SECONDS + 1
    assert granted(governor, "b", 1, wants=10, in_flight=0).concurrency == 10


def test_without_limits_starts_are_not_counted(clock):
    assert granted(Governor(limits(concurrency=3), clock=clock), "a", 1, wants=9, in_flight=0).starts == UNLIMITED


def simulate(governor: Governor, clock: Clock, seconds: float, latency=lambda now: 0.5, tokens: int = 100, usd: float = 0.0):
    """Two tasks that always want more; returns the moment of every start. `latency`: in seconds, of what starts at that moment."""
    pending: dict[str, int] = {}
    starts, tasks = [], {"a": [], "b": []}  # each: the moments at which what is in flight ends
    while clock.now < seconds:
        for name, ends in tasks.items():
            ended = [end for end in ends if end <= clock.now]
            tasks[name] = ends = [end for end in ends if end > clock.now]
            started = pending.pop(name, 0)
            grant = governor.report(
                report(
                    name, 1, wants=1000, in_flight=len(ends),
                    counts=Counts(started, len(ended), len(ended) * tokens, len(ended) * usd, answered=len(ended)),
                )
            )  # fmt: skip
            if grant.stop and not ends:
                return starts
            there = grant.endpoints[0]
            n = max(0, min(there.starts, there.concurrency - len(ends)))
            starts += [clock.now] * n
            ends += [clock.now + latency(clock.now)] * n
            pending[name] = n
        clock.now += 0.125
    return starts


def busiest_minute(moments: list[float]) -> int:
    return max(sum(1 for other in moments if moment <= other < moment + 60) for moment in set(moments))


def test_no_sliding_minute_holds_more_requests_than_allowed_and_nearly_all_are_used(clock):
    governor = Governor(limits(concurrency=64, requests_per_minute=600), clock=clock)
    starts = simulate(governor, clock, 200)
    assert busiest_minute(starts) <= 600
    last_minute = sum(1 for moment in starts if 130 <= moment < 190)
    assert last_minute >= 0.95 * 600


def test_tokens_per_minute_are_settled_to_what_was_used(clock):
    governor = Governor(limits(concurrency=64, tokens_per_minute=60_000, tokens_each=400), clock=clock)
    starts = simulate(governor, clock, 240, tokens=100)
    assert busiest_minute(starts) * 100 <= 60_000
    assert sum(1 for moment in starts if 170 <= moment < 230) * 100 >= 0.95 * 60_000


@pytest.mark.parametrize("tokens_each", [120, 1600, 6000])
def test_tokens_far_below_the_upper_estimate_use_the_minute_all_the_same(clock, tokens_each):
    governor = Governor(limits(concurrency=256, tokens_per_minute=60_000, tokens_each=tokens_each), clock=clock)
    starts = simulate(governor, clock, 240, latency=lambda now: 4.0)
    assert busiest_minute(starts) * 100 <= 60_000
    assert sum(1 for moment in starts if 170 <= moment < 230) * 100 >= 0.95 * 60_000


def test_what_slow_answers_give_back_is_not_paid_out_on_top_of_a_later_minute(clock):
    governor = Governor(limits(concurrency=256, tokens_per_minute=60_000, tokens_each=1600), clock=clock)
    starts = simulate(governor, clock, 240, latency=lambda now: 130 - now if 80 <= now < 130 else 0.5)
    assert busiest_minute(starts) * 100 <= 60_000
    assert sum(1 for moment in starts if 170 <= moment < 230) * 100 >= 0.95 * 60_000


def test_the_budget_is_never_overspent_and_stops_the_stage(clock):
    governor = Governor(limits(concurrency=64, budget_usd=1.0, usd_each=0.01), clock=clock)
    starts = simulate(governor, clock, 100, usd=0.004)
    spent = len(starts) * 0.004
    assert governor.stop_kind == "budget"
    assert 1.0 - 0.01 < spent <= 1.0


def test_what_a_lost_task_had_reserved_counts_as_spent(clock):
    governor = Governor(limits(concurrency=4, budget_usd=0.05, usd_each=0.01), clock=clock)
    assert granted(governor, "a", 1, wants=4, in_flight=0).starts == 4
    governor.report(report("a", 1, wants=4, in_flight=4, counts=Counts(started=4)))
    clock.now = 10 * LEASE_SECONDS  # never heard again
    assert granted(governor, "b", 1, wants=4, in_flight=0).starts == 1


def test_an_endpoint_that_never_answers_stops_the_stage_early(clock):
    governor = Governor(limits(concurrency=64, max_error_rate=0.6), clock=clock)
    governor.report(report("a", 1, wants=64, in_flight=0))
    grant = governor.report(report("a", 1, wants=64, in_flight=0, counts=Counts(settled=20, errors=Counter(connection=20))))
    assert governor.stop_kind == "error_rate"
    assert "20 of the last 20" in grant.stop


def test_thirty_percent_of_faults_is_no_reason_to_stop_and_waiting_is_no_failure(clock):
    governor = Governor(limits(concurrency=64, max_error_rate=0.6), clock=clock)
    for _ in range(50):
        clock.now += 0.25
        told = report("a", 1, wants=64, in_flight=64, counts=Counts(settled=100, errors=Counter(server=20, rate_limit=40)))
        assert governor.report(told).stop is None
    told = report("a", 1, wants=64, in_flight=64, counts=Counts(settled=400, errors=Counter(server=300)))
    assert governor.report(told).stop is not None


def test_a_refused_key_stops_everybody_and_the_users_wish_comes_first(clock):
    governor = Governor(limits(concurrency=4), clock=clock)
    governor.report(report("a", 1, wants=4, in_flight=0, fatal="401", fatal_kind="authentication"))
    assert governor.report(report("b", 1, wants=4, in_flight=0)).stop == "401"
    governor.drain()
    assert governor.stop_kind == "drain"


def test_the_snapshot_adds_up(clock):
    governor = Governor(limits(concurrency=4), total=10, clock=clock)
    governor.report(report("a", 1, wants=4, in_flight=0))
    clock.now = 30.0
    governor.report(
        report(
            "a", 1, wants=4, in_flight=2,
            counts=Counts(started=7, settled=5, tokens=500, usd=0.5, answered=4, failed=1, errors=Counter(server=1)),
        )
    )  # fmt: skip
    shot = governor.snapshot()
    assert (shot.done, shot.failed, shot.total, shot.requests, shot.in_flight) == (5, 1, 10, 7, 2)
    assert shot.requests_per_minute == pytest.approx(14)
    assert shot.eta_s == pytest.approx(30)
    assert shot.errors == {"server": 1}


def away(settled: int) -> dict:
    """What a task reports of an endpoint that refuses connections."""
    return {"counts": Counts(settled, settled, errors=Counter(connection=settled), down=settled), "down": "refused"}


def sent_while_away(governor: Governor, clock: Clock, until: float) -> list[float]:
    """When one task that always wants more sends a request to the only endpoint, which refuses all."""
    moments, started = [], 0
    while clock.now < until and governor.stop is None:
        told = away(started) if started else {}
        grant = governor.report(report("a", 1, wants=64, in_flight=0, **told)).endpoints[0]
        started = max(0, min(grant.starts, grant.concurrency))
        moments += [clock.now] * started
        clock.now += 0.25
    return moments


def test_an_endpoint_that_goes_away_is_tried_at_growing_intervals_until_it_is_back(clock):
    governor = Governor(limits(concurrency=64, down_seconds=300), clock=clock)
    governor.report(report("a", 1, wants=64, in_flight=32, counts=Counts(started=64, settled=32, answered=32)))
    assert granted(governor, "a", 1, wants=64, in_flight=0, **away(DOWN_AFTER)).concurrency == 0
    moments = sent_while_away(governor, clock, 100)
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert gaps[:6] == pytest.approx([1.5, 2.25, 3.4, 5.1, 7.6, 11.4], abs=0.5)
    assert max(gaps) <= LONGEST_TRIAL_SECONDS + 0.5
    assert "the endpoint has been out for 100 s (refused); all requests wait for it, 200 s more" in governor.snapshot().out
    while not granted(governor, "a", 1, wants=64, in_flight=0).starts:
        clock.now += 0.25
    back = granted(governor, "a", 1, wants=64, in_flight=0, counts=Counts(1, 1, answered=1))
    assert (back.concurrency, back.out, governor.stop, governor.snapshot().out) == (64, False, None, None)


def test_an_endpoint_that_stays_away_stops_the_stage(clock):
    governor = Governor(limits(concurrency=64, known=True, down_seconds=120), clock=clock)
    moments = sent_while_away(governor, clock, 1000)
    assert (governor.stop_kind, clock.now) == ("down", pytest.approx(120, abs=1))
    assert len(moments) <= 64 + 11
    assert "(refused); nothing was answered for 120 s" in governor.stop


def test_a_few_faults_of_a_gateway_leave_an_endpoint_in_use(clock):
    governor = Governor(limits(concurrency=64, known=True), clock=clock)
    for _ in range(50):
        clock.now += 0.25
        counts = Counts(10, 10, answered=7, errors=Counter(overloaded=2, server=1), down=3)
        assert not granted(governor, "a", 1, wants=64, in_flight=10, counts=counts).out


def pool(*concurrency: int, **more) -> Limits:
    return Limits(tuple(EndpointLimits(each, name=f"endpoint {n}") for n, each in enumerate(concurrency)), **more)


def simulate_pool(governor: Governor, clock: Clock, seconds: float, dead=()) -> list[int]:
    """Two tasks that always want more, at endpoints that take 0.5 s for a request, or refuse it; how many were sent to each."""
    sent = [0] * len(governor.limits.endpoints)
    ends = {name: [[] for _ in sent] for name in "ab"}
    started = {name: [0] * len(sent) for name in "ab"}
    while clock.now < seconds and governor.stop is None:
        for name in ends:
            told = []
            for n, ending in enumerate(ends[name]):
                ended = sum(end <= clock.now for end in ending)
                ends[name][n] = [end for end in ending if end > clock.now]
                became = {"errors": Counter(connection=ended), "down": ended} if n in dead else {"answered": ended}
                told.append(EndpointReport(len(ends[name][n]), Counts(started[name][n], ended, **became), down="refused"))
            grant = governor.report(Report(name, 1, 1000, tuple(told)))
            for n, there in enumerate(grant.endpoints):
                count = max(0, min(there.starts, there.concurrency - len(ends[name][n])))
                started[name][n] = count
                sent[n] += count
                ends[name][n] += [clock.now + (0.0 if n in dead else 0.5)] * count
        clock.now += 0.125
    return sent


def test_a_pool_uses_what_is_up_and_leaves_the_dead_one_out(clock):
    governor = Governor(pool(30, 30, 10), clock=clock)
    sent = simulate_pool(governor, clock, 60, dead={1})
    assert sent[0] >= 0.95 * 60 * 30 / 0.625  # a slot's reports are 0.125 s apart
    assert sent[2] >= 0.95 * 60 * 10 / 0.625
    assert sent[1] <= 0.01 * sum(sent)
    assert governor.stop is None
    assert "endpoint 1 has been out for" in governor.snapshot().out


def test_no_endpoint_of_a_pool_gets_more_than_it_takes_and_each_keeps_its_own_minute(clock):
    limits = Limits((EndpointLimits(64, 600), EndpointLimits(64, 120)))
    sent = simulate_pool(Governor(limits, clock=clock), clock, 180)
    assert 0.95 * 600 <= sent[0] / 3 <= 610
    assert 0.95 * 120 <= sent[1] / 3 <= 122


def test_the_budget_is_of_the_pool(clock):
    governor = Governor(pool(8, 8, budget_usd=0.1, usd_each=0.01), clock=clock)
    clock.now = 1.0
    started = Counts(1, 1, usd=0.005, answered=1)
    governor.report(Report("a", 1, 50))
    grant = governor.report(Report("a", 1, 50, (EndpointReport(0, started), EndpointReport(0, started))))
    assert sum(each.starts for each in grant.endpoints) == 9


def test_a_refused_key_at_one_endpoint_of_a_pool_stops_nothing_until_all_refuse(clock):
    governor = Governor(pool(4, 4), clock=clock)
    governor.report(Report("a", 1, 8))
    refused = EndpointReport(0, Counts(1, 1, errors=Counter(authentication=1)), fatal="401", fatal_kind="authentication")
    grant = governor.report(Report("a", 1, 8, (refused, EndpointReport(0, Counts(1, 1, answered=1)))))
    assert ([each.out for each in grant.endpoints], governor.stop) == ([True, False], None)
    governor.report(Report("a", 1, 8, (EndpointReport(), refused)))
    assert (governor.stop, governor.stop_kind) == ("401", "authentication")


def test_a_pool_that_was_never_reached_is_not_waited_for(clock):
    governor = Governor(pool(4, 4, down_seconds=300), clock=clock)
    sent = simulate_pool(governor, clock, 300, dead={0, 1})
    assert governor.stop_kind == "unreachable"
    assert clock.now < 15
    assert sum(sent) <= 8
