"""The governor on a clock of its own."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personahub.llm.governor import LEASE_SECONDS, UNLIMITED, Governor, Limits
from personahub.llm.types import Counts, Report


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_two_tasks_share_and_a_draining_one_hands_its_permits_on(clock):
    governor = Governor(Limits(concurrency=10), clock=clock)
    assert governor.report(Report("a", 1, wants=100, in_flight=0)).concurrency == 10
    assert governor.report(Report("b", 1, wants=100, in_flight=0)).concurrency == 0  # all are with a, until it reports
    assert governor.report(Report("a", 1, wants=100, in_flight=10)).concurrency == 5
    assert governor.report(Report("b", 1, wants=100, in_flight=0)).concurrency == 0  # ... and until a's calls have ended
    assert governor.report(Report("a", 1, wants=2, in_flight=2)).concurrency == 2
    assert governor.report(Report("b", 1, wants=100, in_flight=0)).concurrency == 8
    governor.report(Report("a", 1, wants=0, in_flight=0, done=True))
    assert governor.report(Report("b", 1, wants=100, in_flight=8)).concurrency == 10


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 30)), max_size=60), st.integers(1, 20))
def test_the_sum_over_tasks_never_exceeds_the_limit(reports, concurrency):
    governor = Governor(Limits(concurrency=concurrency), clock=Clock())
    allowed: dict[str, int] = {}
    for task, wants in reports:
        in_flight = min(allowed.get(task, 0), wants)
        allowed[task] = governor.report(Report(task, 1, wants=wants, in_flight=in_flight)).concurrency
        assert sum(allowed.values()) <= concurrency


def test_an_older_attempt_of_a_slot_is_fenced(clock):
    governor = Governor(Limits(concurrency=10), clock=clock)
    governor.report(Report("a", 1, wants=5, in_flight=0))
    assert governor.report(Report("a", 2, wants=5, in_flight=0)).concurrency == 5
    old = governor.report(Report("a", 1, wants=5, in_flight=3))
    assert (old.concurrency, old.starts) == (0, 0)
    assert old.stop


def test_the_share_of_a_task_that_is_not_heard_goes_to_the_others(clock):
    governor = Governor(Limits(concurrency=10), clock=clock)
    governor.report(Report("a", 1, wants=10, in_flight=0))
    governor.report(Report("b", 1, wants=10, in_flight=0))
    clock.now = LEASE_SECONDS + 1
    assert governor.report(Report("b", 1, wants=10, in_flight=0)).concurrency == 10


def test_without_limits_starts_are_not_counted(clock):
    assert Governor(Limits(concurrency=3), clock=clock).report(Report("a", 1, wants=9, in_flight=0)).starts == UNLIMITED


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
                Report(
                    name, 1, wants=1000, in_flight=len(ends),
                    counts=Counts(started, len(ended), len(ended) * tokens, len(ended) * usd, answered=len(ended)),
                )
            )  # fmt: skip
            if grant.stop and not ends:
                return starts
            n = max(0, min(grant.starts, grant.concurrency - len(ends)))
            starts += [clock.now] * n
            ends += [clock.now + latency(clock.now)] * n
            pending[name] = n
        clock.now += 0.125
    return starts


def busiest_minute(moments: list[float]) -> int:
    return max(sum(1 for other in moments if moment <= other < moment + 60) for moment in set(moments))


def test_no_sliding_minute_holds_more_requests_than_allowed_and_nearly_all_are_used(clock):
    governor = Governor(Limits(concurrency=64, requests_per_minute=600), clock=clock)
    starts = simulate(governor, clock, 200)
    assert busiest_minute(starts) <= 600
    last_minute = sum(1 for moment in starts if 130 <= moment < 190)
    assert last_minute >= 0.95 * 600


def test_tokens_per_minute_are_settled_to_what_was_used(clock):
    governor = Governor(Limits(concurrency=64, tokens_per_minute=60_000, tokens_each=400), clock=clock)
    starts = simulate(governor, clock, 240, tokens=100)
    assert busiest_minute(starts) * 100 <= 60_000
    assert sum(1 for moment in starts if 170 <= moment < 230) * 100 >= 0.95 * 60_000


@pytest.mark.parametrize("tokens_each", [120, 1600, 6000])
def test_tokens_far_below_the_upper_estimate_use_the_minute_all_the_same(clock, tokens_each):
    governor = Governor(Limits(concurrency=256, tokens_per_minute=60_000, tokens_each=tokens_each), clock=clock)
    starts = simulate(governor, clock, 240, latency=lambda now: 4.0)
    assert busiest_minute(starts) * 100 <= 60_000
    assert sum(1 for moment in starts if 170 <= moment < 230) * 100 >= 0.95 * 60_000


def test_what_slow_answers_give_back_is_not_paid_out_on_top_of_a_later_minute(clock):
    governor = Governor(Limits(concurrency=256, tokens_per_minute=60_000, tokens_each=1600), clock=clock)
    starts = simulate(governor, clock, 240, latency=lambda now: 130 - now if 80 <= now < 130 else 0.5)
    assert busiest_minute(starts) * 100 <= 60_000
    assert sum(1 for moment in starts if 170 <= moment < 230) * 100 >= 0.95 * 60_000


def test_the_budget_is_never_overspent_and_stops_the_stage(clock):
    governor = Governor(Limits(concurrency=64, budget_usd=1.0, usd_each=0.01), clock=clock)
    starts = simulate(governor, clock, 100, usd=0.004)
    spent = len(starts) * 0.004
    assert governor.stop_kind == "budget"
    assert 1.0 - 0.01 < spent <= 1.0


def test_what_a_lost_task_had_reserved_counts_as_spent(clock):
    governor = Governor(Limits(concurrency=4, budget_usd=0.05, usd_each=0.01), clock=clock)
    assert governor.report(Report("a", 1, wants=4, in_flight=0)).starts == 4
    governor.report(Report("a", 1, wants=4, in_flight=4, counts=Counts(started=4)))
    clock.now = 10 * LEASE_SECONDS  # never heard again
    assert governor.report(Report("b", 1, wants=4, in_flight=0)).starts == 1


def test_an_endpoint_that_never_answers_stops_the_stage_early(clock):
    governor = Governor(Limits(concurrency=64, max_error_rate=0.6), clock=clock)
    governor.report(Report("a", 1, wants=64, in_flight=0))
    grant = governor.report(Report("a", 1, wants=64, in_flight=0, counts=Counts(settled=20, errors=Counter(connection=20))))
    assert governor.stop_kind == "error_rate"
    assert "20 of the last 20" in grant.stop


def test_thirty_percent_of_faults_is_no_reason_to_stop_and_waiting_is_no_failure(clock):
    governor = Governor(Limits(concurrency=64, max_error_rate=0.6), clock=clock)
    for _ in range(50):
        clock.now += 0.25
        report = Report("a", 1, wants=64, in_flight=64, counts=Counts(settled=100, errors=Counter(server=20, rate_limit=40)))
        assert governor.report(report).stop is None
    report = Report("a", 1, wants=64, in_flight=64, counts=Counts(settled=400, errors=Counter(server=300)))
    assert governor.report(report).stop is not None


def test_a_refused_key_stops_everybody_and_the_users_wish_comes_first(clock):
    governor = Governor(Limits(concurrency=4), clock=clock)
    governor.report(Report("a", 1, wants=4, in_flight=0, fatal="401", fatal_kind="authentication"))
    assert governor.report(Report("b", 1, wants=4, in_flight=0)).stop == "401"
    governor.drain()
    assert governor.stop_kind == "drain"


def test_the_snapshot_adds_up(clock):
    governor = Governor(Limits(concurrency=4), total=10, clock=clock)
    governor.report(Report("a", 1, wants=4, in_flight=0))
    clock.now = 30.0
    governor.report(
        Report(
            "a", 1, wants=4, in_flight=2,
            counts=Counts(started=7, settled=5, tokens=500, usd=0.5, answered=4, failed=1, errors=Counter(server=1)),
        )
    )  # fmt: skip
    shot = governor.snapshot()
    assert (shot.done, shot.failed, shot.total, shot.requests, shot.in_flight) == (5, 1, 10, 7, 2)
    assert shot.requests_per_minute == pytest.approx(14)
    assert shot.eta_s == pytest.approx(30)
    assert shot.errors == {"server": 1}
