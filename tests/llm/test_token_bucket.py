"""The bucket on a clock of its own: what may leave, when, and what is given back."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personahub.llm.token_bucket import TokenBucket

_STEPS = st.lists(st.tuples(st.sampled_from([0.1, 1.0, 7.0, 30.0]), st.integers(0, 9), st.integers(0, 30)), max_size=80)


@given(_STEPS, st.integers(1, 10))
def test_no_minute_holds_more_than_the_limit_whatever_is_settled_when(steps, each):
    """Permits of 10 turn out to have taken `each`, now or much later, in the order in which they left."""
    bucket, now, taken, left = TokenBucket(200, 0.0), 0.0, deque(), []
    for wait, unused, settled in steps:
        now += wait
        bucket.advance(now)
        settled = min(settled, sum(permits.count for permits in taken))
        bucket.settle(taken, settled, settled * each)
        starts, _ = bucket.fits(now, 10)
        if starts:
            taken.append(bucket.take(starts, 10))
            unused = min(unused, starts)
            bucket.give_back(taken, unused)
            left += [now] * (starts - unused)
    assert all(sum(each for other in left if moment <= other < moment + 60) <= 200 for moment in left)


def test_what_was_not_used_can_be_taken_at_once():
    bucket, taken = TokenBucket(600, 0.0), deque()
    assert bucket.fits(0.0, 1) == (6, pytest.approx(-5 / bucket.rate))
    taken.append(bucket.take(6, 1))
    assert bucket.fits(0.0, 1)[0] == 0
    bucket.give_back(taken, 4)
    assert bucket.fits(0.0, 1)[0] == 4
    assert taken[0].count == 2


def test_one_larger_than_the_minute_leaves_when_the_minute_is_empty():
    bucket = TokenBucket(100, 0.0)
    assert bucket.fits(0.0, 250)[0] == 1
    bucket.take(1, 250)
    starts, again = bucket.fits(30.0, 250)
    assert (starts, again) == (0, pytest.approx(31.0))
    assert bucket.fits(500.0, 250)[0] == 1


def test_more_than_was_reserved_is_paid_back_first():
    bucket, taken = TokenBucket(6000, 0.0), deque()
    taken.append(bucket.take(1, 10))
    bucket.settle(taken, 1, 500)
    starts, again = bucket.fits(0.0, 10)
    assert starts == 0
    assert bucket.fits(again, 10)[0] == 1
    assert not taken
