"""The limit against a simulated endpoint that takes `places` requests and answers 429 to the others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personahub.llm.adaptive_limit import START, AdaptiveLimit, fair_shares


def drive(limit: AdaptiveLimit, places, seconds: float, stray: float = 0.0, start: float = 0.0) -> list[int]:
    """Four reports a second; each place answers once a second; what the limit allows above the places is refused once per report."""
    levels = []
    for step in range(int(seconds * 4)):
        now = start + step / 4
        room = places(now) if callable(places) else places
        over = max(0, limit.limit - room)
        served = min(limit.limit, room) // 4
        throttled = over + int(stray * served)
        levels.append(limit.observe(now, served + throttled, throttled, min(limit.limit, room), saturated=True))
    return levels


def test_it_stays_at_the_maximum_that_the_endpoint_serves():
    assert drive(AdaptiveLimit(64), places=64, seconds=30)[-1] == 64


def test_it_doubles_up_to_a_large_maximum():
    assert drive(AdaptiveLimit(1000), places=5000, seconds=20)[-1] == 1000


def test_told_too_much_it_finds_the_places_and_asks_above_them_only_now_and_then():
    levels = drive(AdaptiveLimit(128), places=64, seconds=60)
    assert all(64 <= level <= 67 for level in levels[60:])
    refused = sum(max(0, level - 64) for level in levels)
    served = 60 * 64
    assert refused < 0.05 * served


def drive_holding(limit: AdaptiveLimit, places: int, seconds: float, stray: float = 0.0) -> tuple[list[int], float]:
    """As the caller does it: eight reports a second, an answer takes half a second, a 429 keeps its permit back for as long.

    Returns the levels and the share of the requests that were refused.
    """
    levels, held, refused, served = [], [0, 0, 0, 0], 0, 0
    for step in range(int(seconds * 8)):
        sent = max(0, limit.limit - sum(held[-3:]))  # those in flight, and those that try to be
        over = max(0, sent - places)
        ended = (sent - over) // 4
        throttled = over + int(stray * ended + 0.5)
        held.append(throttled)
        refused, served = refused + throttled, served + ended
        levels.append(limit.observe(step / 8, ended + throttled, throttled, sent - over, saturated=True))
    return levels, refused / (refused + served)


@pytest.mark.parametrize("places", [20, 48, 64, 100])
@pytest.mark.parametrize("stray", [0.0, 0.03])
def test_a_level_at_which_the_endpoint_serves_no_more_is_not_proven(places, stray):
    """Permits that are kept back after a 429 make overload rare enough to be taken for stray: what counts is what is in service."""
    limit = AdaptiveLimit(128)
    levels, refused = drive_holding(limit, places, seconds=120, stray=stray)
    assert all(0.95 * places <= level <= 1.1 * places + 1 for level in levels[320:])
    assert refused <= 0.03 + 1.5 * stray


def test_told_less_than_the_start_allows_it_comes_down():
    assert drive(AdaptiveLimit(64), places=20, seconds=30)[-1] <= 21


def test_stray_429s_at_a_proven_level_change_nothing():
    limit = AdaptiveLimit(64)
    drive(limit, places=64, seconds=5)
    assert set(drive(limit, places=64, seconds=60, stray=0.1, start=5)) == {64}


def test_an_endpoint_that_shrinks_is_followed_and_one_that_recovers_is_too():
    limit = AdaptiveLimit(64)
    levels = drive(limit, places=lambda now: 16 if 10 <= now < 40 else 64, seconds=400)
    assert max(levels[60:160]) <= 20
    assert levels[-1] == 64


def drive_a_line(limit: AdaptiveLimit, places: int, timeout: float, seconds: float) -> tuple[list[int], int, int]:
    """Four reports a second. Each place answers once a second; the others wait, in order, and are given up after `timeout`."""
    levels, sent, served, lost = [], [], 0, 0
    for step in range(int(seconds * 4)):
        now = step / 4
        sent += [now] * max(0, limit.limit - len(sent))
        late = [at for at in sent if at <= now - timeout]
        sent = sent[len(late) :]
        done = min(len(sent), places // 4)
        sent = sent[done:]
        served, lost = served + done, lost + len(late)
        levels.append(limit.observe(now, done + len(late), 0, len(sent), saturated=True, timed_out=len(late)))
    return levels, served, lost


def test_a_line_in_which_requests_time_out_is_made_shorter():
    """Eight places and ten seconds: of 80 requests in flight the last one is served in time."""
    levels, served, lost = drive_a_line(AdaptiveLimit(400, timeout=10), places=8, timeout=10, seconds=600)
    assert max(levels) == 400
    assert 40 <= levels[-1] <= 88
    assert max(levels[600:]) <= 140  # tried again now and then, by steps that begin small
    assert lost < 0.2 * served
    short, _, lost = drive_a_line(AdaptiveLimit(64, timeout=10), places=8, timeout=10, seconds=100)
    assert (short[-1], lost) == (64, 0)


def test_a_few_timeouts_change_nothing():
    limit = AdaptiveLimit(64)
    levels = [limit.observe(step / 4, 16, 0, 64, saturated=True, timed_out=step % 2) for step in range(400)]
    assert set(levels) == {64}


@given(st.integers(0, 500), st.dictionaries(st.text("abc", min_size=1), st.integers(0, 100), max_size=12))
def test_shares_are_max_min_fair(limit, wants):
    shares = fair_shares(limit, wants)
    assert sum(shares.values()) == min(limit, sum(wants.values()))
    assert all(shares[task] <= wants[task] for task in wants)
    hungry = [shares[task] for task in wants if shares[task] < wants[task]]
    assert not hungry or max(shares.values()) - min(hungry) <= 1


def test_the_first_level_is_small():
    assert AdaptiveLimit(10_000).limit == START
