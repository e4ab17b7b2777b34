"""The thread that asks whether what was bought is enough: in the order of the windows, and never left behind."""

import time
from types import SimpleNamespace

import pytest

from personahub.buy.judging import ENOUGH, Judging


class Governor(SimpleNamespace):
    stop = None

    def drain(self, reason, kind):
        self.stop = (reason, kind)


def judging(judge, windows=(3, 5, 8)):
    governor = Governor()
    return Judging(judge, windows, lambda window: window, governor), governor


def settled(condition):
    until = time.monotonic() + 10
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()


def test_windows_are_judged_in_their_order_whenever_they_are_committed():
    asked = []
    judged, governor = judging(lambda window: asked.append(window))
    judged.put(8)
    judged.put(5)
    assert judged.behind == 2
    assert asked == []  # the first one is not there
    judged.put(3)
    assert judged.end() is None
    assert (asked, judged.behind, governor.stop) == ([3, 5, 8], 0, None)


def test_what_comes_behind_a_window_that_is_missing_is_not_judged():
    asked = []
    judged, _ = judging(lambda window: asked.append(window))
    judged.put(3)
    judged.put(8)
    assert judged.end() is None
    assert (asked, judged.behind) == ([3], 1)
    assert not judged.thread.is_alive()


def test_the_first_reason_ends_the_purchase():
    asked = []

    def judge(window):
        asked.append(window)
        return "novelty 0.04 is below 0.1" if window == 5 else None

    judged, governor = judging(judge)
    for window in (3, 5, 8):
        judged.put(window)
    assert judged.end() is None
    assert (asked, governor.stop) == ([3, 5], ("novelty 0.04 is below 0.1", ENOUGH))


def test_a_purchase_that_stops_for_another_reason_keeps_its_own():
    judged, governor = judging(lambda window: "enough")
    governor.drain("the budget is spent", "budget")
    judged.put(3)
    judged.end()
    assert governor.stop == ("the budget is spent", "budget")


def test_a_judge_that_fails_stops_the_purchase_and_is_told_at_the_end():
    def judge(window):
        raise RuntimeError("no room on the disk\nand more")

    judged, governor = judging(judge)
    judged.put(3)
    assert settled(lambda: governor.stop is not None)
    assert governor.stop == ("a window could not be judged: no room on the disk", "failure")
    with pytest.raises(RuntimeError, match="no room"):
        raise judged.end()


def test_without_a_judge_nothing_is_asked():
    judged, governor = judging(None)
    assert judged.end() is None
    assert (judged.behind, governor.stop) == (0, None)
