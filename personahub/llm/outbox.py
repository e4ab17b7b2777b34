"""Rows of the ledger on their way from the event loop to the task's own thread."""

import threading
from collections import deque

from personahub.llm.journal import Row


class Outbox:
    """`put` and `end` are for the loop, `take` for the thread."""

    def __init__(self) -> None:
        self._out: deque[list[Row]] = deque()  # of an outcome each
        self._enough, self._ended = 1, False
        self._worth_taking = threading.Event()
        self._failure: BaseException | None = None

    def put(self, rows: list[Row]) -> None:
        self._out.append(rows)
        if len(self._out) >= self._enough:
            self._worth_taking.set()

    def end(self, failure: BaseException | None) -> None:
        """Nothing follows. `failure` is raised by `take`."""
        self._failure, self._ended = failure, True
        self._worth_taking.set()

    def take(self, timeout: float, max_outcomes: int) -> tuple[list[Row], bool]:
        """The rows that have arrived: of `max_outcomes`, or after `timeout` seconds of fewer; True once there will be no more.

        It waits for many, because to wake this thread and to make a batch costs more than an outcome does.
        """
        self._enough = max_outcomes
        if len(self._out) < max_outcomes and not self._ended:
            self._worth_taking.wait(timeout)
        self._worth_taking.clear()
        ended = self._ended  # read before the outcomes: nothing follows it
        rows = [row for _ in range(min(max_outcomes, len(self._out))) for row in self._out.popleft()]
        if ended and self._failure is not None:
            raise self._failure
        return rows, ended and not self._out
