"""The early-stop thread: it checks windows in their order, and is never left behind."""

import time
from types import SimpleNamespace

import pytest

from personahub.inference.early_stop import ENOUGH, EarlyStopThread


class Governor(SimpleNamespace):
    stop = None

    def drain(self, reason, kind):
        self.stop = (reason, kind)


def checking(check, windows=(3, 5, 8)):
    governor = Governor()
    return EarlyStopThread(check, windows, lambda window: window, governor), governor


def settled(condition):
    until = time.monotonic() + 10
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()


def test_windows_are_checked_in_their_order_whenever_they_are_committed():
    asked = []
    thread, governor = checking(lambda window: asked.append(window))
    thread.put(8)
    thread.put(5)
    assert thread.behind == 2
    assert asked == []  # the first one is not there
    thread.put(3)
    assert thread.end() is None
    assert (asked, thread.behind, governor.stop) == ([3, 5, 8], 0, None)


def test_what_comes_behind_a_window_that_is_missing_is_not_checked():
    asked = []
    thread, _ = checking(lambda window: asked.append(window))
    thread.put(3)
    thread.put(8)
    assert thread.end() is None
    assert (asked, thread.behind) == ([3], 1)
    assert not thread.thread.is_alive()


def test_the_first_reason_ends_the_purchase():
    asked = []

    def check(window):
        asked.append(window)
        return "novelty 0.04 is below 0.1" if window == 5 else None

    thread, governor = checking(check)
    for window in (3, 5, 8):
        thread.put(window)
    assert thread.end() is None
    assert (asked, governor.stop) == ([3, 5], ("novelty 0.04 is below 0.1", ENOUGH))


def test_a_purchase_that_stops_for_another_reason_keeps_its_own():
    thread, governor = checking(lambda window: "enough")
    governor.drain("the budget is spent", "budget")
    thread.put(3)
    thread.end()
    assert governor.stop == ("the budget is spent", "budget")


def test_a_check_that_fails_stops_the_purchase_and_its_error_is_returned():
    def check(window):
        raise RuntimeError("no room on the disk\nand more")

    thread, governor = checking(check)
    thread.put(3)
    assert settled(lambda: governor.stop is not None)
    assert governor.stop == ("a window could not be checked: no room on the disk", "failure")
    with pytest.raises(RuntimeError, match="no room"):
        raise thread.end()


def test_without_a_check_nothing_happens():
    thread, governor = checking(None)
    assert thread.end() is None
    assert (thread.behind, governor.stop) == (0, None)
