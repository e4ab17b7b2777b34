"""The open batches of a purchase, looked at until they have ended."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from personahub.errors import EndpointError, Interrupted, RootInUse
from personahub.inference.batches.desk import Desk
from personahub.inference.batches.states import TOO_MANY_TOKENS, BatchState, pause
from personahub.llm.batches import Unreachable
from personahub.storage.hub import Hub

TELL_SECONDS = 60.0  # between two lines about batches that only wait


class Waiting:
    """The open batches of a purchase."""

    def __init__(self, hub: Hub, desk: Desk, stop: threading.Event, open_: list[BatchState]) -> None:
        self.hub, self.desk, self.stop = hub, desk, stop
        self.open = open_
        self.learned_tokens: int | None = None  # that the endpoint lets wait, as far as it has refused more
        self.last_error: str | None = None
        self._news = self._heard = self._told = time.monotonic()
        if open_:
            hub.ui.say(f"{open_[0].stage}: {_count(open_)} were submitted earlier: their answers are collected")

    def add(self, state: BatchState) -> None:
        self._news = time.monotonic()
        if state.is_open:
            self.open.append(state)
            self.hub.ui.say(f"{state.stage}: batch {state.short} submitted: {state.requests:,} requests")

    def until_all_ended(self) -> None:
        while self.open:
            self.look()
        self.leave_if_stopped()

    def look(self) -> list[BatchState]:
        """After a pause, all open batches once: those that have ended by now, with their answers in the ledger."""
        self.leave_if_stopped()
        self.stop.wait(pause(time.monotonic() - self._news))
        ended, held = [], sum(state.prompt_tokens for state in self.open)
        for number, state in enumerate(self.open):
            self.leave_if_stopped()
            try:
                self.open[number] = found = self.desk.look(state)
            except Unreachable as error:
                self._unheard(error)
                continue
            self._heard = time.monotonic()
            if not found.is_open:
                ended.append(found)
        self.open = [state for state in self.open if state.is_open]
        for state in ended:
            self._note(state, held)
        self._tell()
        return ended

    def leave_if_stopped(self) -> None:
        """Raises Interrupted after Ctrl-C, RootInUse where another run has this root now."""
        lease = self.hub.lease
        if lease is not None and (why := lease.lost):
            raise RootInUse(f"{why}: {_count(self.open)} go on at the endpoint, for the next run to collect")
        if self.stop.is_set() and not self.open:
            raise Interrupted("interrupted: no batch is open; run again to go on")
        if self.stop.is_set():
            raise Interrupted(
                f"interrupted: {_count(self.open)} go on at the endpoint, and are paid for there. Run again to collect them, or end them "
                "with `personahub batches cancel`"
            )

    def _note(self, state: BatchState, held: int) -> None:
        """held: the tokens of all batches that were open with it."""
        self._news = time.monotonic()
        if state.error:
            self.last_error = state.error
        if state.error and TOO_MANY_TOKENS in state.error:
            self.learned_tokens = min(self.learned_tokens or held, max(1, held // 2))

    def _unheard(self, error: Unreachable) -> None:
        patience = max(model.deadline_seconds for model in self.hub.config.models.values())
        if time.monotonic() - self._heard > patience:
            raise EndpointError(f"{error}; {_count(self.open)} go on there: run again to collect them") from None

    def _tell(self) -> None:
        if self.open and time.monotonic() - self._told > TELL_SECONDS:
            self._told = time.monotonic()
            done = sum(state.completed + state.failed for state in self.open)
            oldest = max(state.age_s for state in self.open) / 3600
            self.hub.ui.say(f"{self.open[0].stage}: {_count(self.open)}, {done:,} done, the oldest {oldest:.1f} h old")


def _count(states: list[BatchState]) -> str:
    return f"{len(states):,} batches with {sum(state.requests for state in states):,} requests"


@contextmanager
def leave_on_interrupt() -> Iterator[threading.Event]:
    """The first Ctrl-C leaves once what is at hand is done: the batches go on without us. The second one leaves at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before: Any = signal.getsignal(signal.SIGINT)

    def on_interrupt(*arguments: Any) -> None:
        if stop.is_set():
            signal.default_int_handler(*arguments)
        stop.set()

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
