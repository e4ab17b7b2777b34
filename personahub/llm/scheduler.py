"""The calls of one slot: a sliding window under the governor's grant, retries ahead of new rows, every outcome journaled at once.

Everything here but `offer`, `close_input` and `take` runs in one event loop; those three are for the task's own thread.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from personahub.config import Model
from personahub.errors import ErrorKind
from personahub.llm.governor import LEASE_SECONDS, REPORT_SECONDS
from personahub.llm.governor_server import Link
from personahub.llm.journal import Row
from personahub.llm.retry import FATAL, REFUSED, Decision, decide
from personahub.llm.tracked_calls import TrackedCall
from personahub.llm.types import Attempt, ChatCall, Counts, EmbeddingCall, Grant, Outcome, Report

ASK_AGAIN = 0.05  # seconds: the least time between two reports
GIVE_UP = 120.0  # seconds without a word from the governor: no driver waits for this task any more
OPEN_INPUT = 1_000_000  # what a task wants while it does not know its last row


class Client(Protocol):
    async def attempt(self, call: Any, messages: list[dict[str, str]] | None = None) -> Attempt: ...


class Scheduler:
    """`record` is called with each outcome as it arrives, before any other code sees it: it writes the journal, and returns what `take`
    hands on: the rows of the ledger.
    """

    def __init__(
        self,
        client: Client,
        link: Link,
        model: Model,
        task: str,
        attempt: int,
        record: Callable[[Outcome], list[Row]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._client, self._link, self._model = client, link, model
        self._task, self._attempt, self._record, self._loop = task, attempt, record, loop
        self._new: deque[TrackedCall] = deque()
        self._again: deque[TrackedCall] = deque()
        self._waiting = 0  # rows that sleep before their next try
        self._in_flight = 0
        self._held = 0  # permits kept back after a 429 until its wait is over
        self._input_open = True
        self._grant = Grant(0, 0, REPORT_SECONDS, LEASE_SECONDS)
        self._granted_at = self._heard_at = time.monotonic()
        self._starts = 0
        self._stop = False
        self._fatal: tuple[ErrorKind, str] | None = None
        self._answered = False  # the endpoint has answered a request of this purchase, of this task or another
        self._kept_back: list[tuple[TrackedCall, Attempt, Decision]] = []  # refused while it has not
        self._since = Counts()
        self._wake = asyncio.Event()
        self._out: deque[list[Row]] = deque()  # of an outcome each
        self._enough, self._ended = 1, False
        self._worth_taking = threading.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None

    # -- for the task's own thread --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        asyncio.run_coroutine_threadsafe(self._run(), self._loop)

    def offer(self, calls: Sequence[ChatCall | EmbeddingCall]) -> None:
        self._loop.call_soon_threadsafe(self._accept, calls)

    def close_input(self) -> None:
        self._loop.call_soon_threadsafe(self._close)

    def backlog(self) -> int:
        """Rows not yet in flight; an estimate, read without a lock."""
        return len(self._new)

    @property
    def stopped(self) -> bool:
        return self._stop

    def take(self, timeout: float, max_outcomes: int = 256) -> tuple[list[Row], bool]:
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

    # -- in the loop ----------------------------------------------------------------------------------------------------------------

    def _accept(self, calls: Sequence[ChatCall | EmbeddingCall]) -> None:
        self._new.extend(TrackedCall(call) for call in calls)
        self._pump()

    def _close(self) -> None:
        self._input_open = False
        self._wake.set()

    async def _run(self) -> None:
        try:
            while not self._finished():
                await self._report()
                self._pump()
                await self._until_next_report()
            if self._kept_back:
                await self._report()  # another task may know by now
            self._settle_refused()
            await self._report(done=True)
        except BaseException as error:
            self._failure = error
        finally:
            self._ended = True
            self._worth_taking.set()

    def _finished(self) -> bool:
        if self._in_flight:
            return False
        return self._stop or not (self._input_open or self._new or self._again or self._waiting)

    async def _until_next_report(self) -> None:
        """The governor's interval, cut short when there is news, but never below ASK_AGAIN."""
        began = time.monotonic()
        try:
            await asyncio.wait_for(self._wake.wait(), timeout=self._grant.report_in)
        except asyncio.TimeoutError:
            pass
        short = ASK_AGAIN - (time.monotonic() - began)
        if short > 0 and not self._finished():
            await asyncio.sleep(short)
        self._wake.clear()

    async def _report(self, done: bool = False) -> None:
        since, self._since = self._since, Counts()
        wants = self._in_flight + len(self._new) + len(self._again) + (OPEN_INPUT if self._input_open else 0)
        grant = await self._link.report(
            Report(
                task=self._task,
                attempt=self._attempt,
                wants=0 if done or self._stop else min(wants, OPEN_INPUT),
                in_flight=self._in_flight,
                counts=since,
                fatal=self._fatal[1] if self._fatal else None,
                fatal_kind=self._fatal[0].value if self._fatal else None,
                refusal=self._kept_back[0][1].message if self._kept_back else None,
                done=done,
            )
        )
        now = time.monotonic()
        if grant is None:
            self._since.add(since)
            if now - self._heard_at > GIVE_UP:
                self._stop = True
            return
        # what was started while the report travelled comes off the new lease
        self._grant, self._granted_at, self._heard_at = grant, now, now
        self._starts = grant.starts - self._since.started
        if grant.stop is not None:
            self._stop = True
        if grant.answered:
            self._note_answer()

    def _pump(self) -> None:
        """Start what may start: first the rows that have been tried already."""
        fresh = time.monotonic() - self._granted_at <= self._grant.expires_in
        while not self._stop and fresh and (self._again or self._new):
            if self._in_flight + self._held >= self._grant.concurrency:
                break
            if self._starts <= 0:
                self._wake.set()
                break
            row = self._again.popleft() if self._again else self._new.popleft()
            self._starts -= 1
            self._since.started += 1
            self._in_flight += 1
            task = self._loop.create_task(self._send(row))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        idle = not (self._again or self._new or self._input_open)
        if self._finished() or (idle and self._in_flight < self._grant.concurrency):
            self._wake.set()  # hand the permits on

    async def _send(self, row: TrackedCall) -> None:
        if row.first_send is None:
            row.first_send = time.monotonic()
        try:
            try:
                attempt = await self._client.attempt(row.call, row.messages)
            finally:
                self._in_flight -= 1
                self._since.settled += 1
            row.usage += attempt.usage
            self._since.tokens += attempt.usage.prompt + attempt.usage.completion
            self._since.usd += attempt.usage.cost_usd(self._model) or 0.0
            if attempt.kind is not None:
                self._since.errors[attempt.kind.value] += 1
            decision = decide(attempt.kind, row.tries, self._model, time.monotonic() - row.first_send, attempt.retry_after)
            self._follow(row, attempt, decision)
            if attempt.kind is None:
                self._note_answer()
        except BaseException as error:  # a bug or a full disk: the task must end, not hang
            self._failure, self._stop = error, True
        self._pump()

    def _follow(self, row: TrackedCall, attempt: Attempt, decision: Decision) -> None:
        if attempt.kind in FATAL:
            self._fatal = self._fatal or (attempt.kind, attempt.message or attempt.kind.value)
            self._stop = True
            self._wake.set()
            self._end(row, attempt, Decision(None, final=False, kind=attempt.kind))
            return
        if decision.retry_in is None:
            halves = row.call.halves() if decision.final and decision.kind is not None else ()
            if halves:  # refused for good, but perhaps for one of its texts only: halved until that one is found
                self._again.extend(row.split(halves))
            elif attempt.kind in REFUSED and not self._answered:
                self._kept_back.append((row, attempt, decision))
            else:
                self._end(row, attempt, decision)
            return
        if attempt.kind is ErrorKind.INVALID:
            row.correct(attempt)
        if attempt.kind is ErrorKind.RATE_LIMIT:
            self._hold(min(decision.retry_in, 0.5))
        if decision.retry_in <= 0:
            self._again.append(row)
        else:
            self._waiting += 1
            self._loop.call_later(decision.retry_in, self._woken, row)

    def _note_answer(self) -> None:
        if not self._answered:
            self._answered = True
            self._settle_refused()

    def _settle_refused(self) -> None:
        """A refusal is a verdict on its text if the endpoint answers others; what it refuses alike for all is asked again next time."""
        kept_back, self._kept_back = self._kept_back, []
        for row, attempt, decision in kept_back:
            self._end(row, attempt, Decision(None, final=self._answered, kind=decision.kind))

    def _woken(self, row: TrackedCall) -> None:
        self._waiting -= 1
        self._again.append(row)
        self._pump()

    def _hold(self, seconds: float) -> None:
        """A 429 costs its permit for a moment: the next row would be refused as well."""
        self._held += 1
        self._wake.set()

        def release() -> None:
            self._held -= 1
            self._pump()

        self._loop.call_later(seconds, release)

    def _end(self, row: TrackedCall, attempt: Attempt, decision: Decision) -> None:
        if decision.final:
            self._since.answered += row.call.size
        else:
            self._since.failed += row.call.size
        self._out.append(self._record(row.outcome(attempt, decision)))
        if len(self._out) >= self._enough:
            self._worth_taking.set()
