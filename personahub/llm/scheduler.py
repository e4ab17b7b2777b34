"""The calls of one slot: a sliding window under the governor's grant, retries ahead of new rows, every outcome journaled at once.

Everything here but `offer`, `close_input` and `take` runs in one event loop; those three are for the task's own thread.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence

from personahub.config import Model
from personahub.errors import ErrorKind
from personahub.llm.channels import Channel, Client, may_go_elsewhere, row_for
from personahub.llm.governor import LEASE_SECONDS, REPORT_SECONDS
from personahub.llm.governor_server import Link
from personahub.llm.journal import Row
from personahub.llm.outbox import Outbox
from personahub.llm.retry import BAD_ANSWER, FATAL, REFUSED, Decision, decide
from personahub.llm.tracked_calls import DeadlineClock, TrackedCall
from personahub.llm.types import Attempt, ChatCall, Counts, EmbeddingCall, Grant, Outcome, Report

ASK_AGAIN = 0.05  # seconds: the least time between two reports
ELSEWHERE = 1.0  # seconds in which a call does not go back to the endpoint that failed it, unless that says how long
GIVE_UP = 120.0  # seconds without a word from the governor: no driver waits for this task any more
OPEN_INPUT = 1_000_000  # what a task wants while it does not know its last row


class Scheduler:
    """`clients`: one for each endpoint of the pool, in the order of the model's. `record` is called with each outcome as it arrives, before
    any other code sees it: it writes the journal, and returns what `take` hands on: the rows of the ledger.
    """

    def __init__(
        self,
        clients: Sequence[Client],
        link: Link,
        model: Model,
        task: str,
        attempt: int,
        record: Callable[[Outcome], list[Row]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._channels = [
            Channel(n, client, weight) for n, (client, weight) in enumerate(zip(clients, model.weights, strict=True))
        ]
        self._link, self._model = link, model
        self._task, self._attempt, self._record, self._loop = task, attempt, record, loop
        self._new: deque[TrackedCall] = deque()
        self._again: deque[TrackedCall] = deque()
        self._waiting = 0  # rows that sleep before their next try
        self._in_flight = 0
        self._input_open = True
        self._grant = Grant((), REPORT_SECONDS, LEASE_SECONDS)
        self._granted_at = self._heard_at = time.monotonic()
        self._stop = False
        self._clock = DeadlineClock()
        self._wake = asyncio.Event()
        self._outbox = Outbox()
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
        """See `Outbox.take`."""
        return self._outbox.take(timeout, max_outcomes)

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
            if any(channel.kept_back for channel in self._channels):
                await self._report()  # another task may know by now
            for channel in self._channels:
                self._settle_refused(channel)
            await self._report(done=True)
        except BaseException as error:
            self._failure = error
        finally:
            self._outbox.end(self._failure)

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
        told = tuple(channel.report() for channel in self._channels)
        for channel in self._channels:
            channel.since = Counts()
        wants = self._in_flight + len(self._new) + len(self._again) + (OPEN_INPUT if self._input_open else 0)
        wants = 0 if done or self._stop else min(wants, OPEN_INPUT)
        grant = await self._link.report(Report(self._task, self._attempt, wants, told, done))
        now = time.monotonic()
        if grant is None:
            for channel, lost in zip(self._channels, told, strict=True):
                channel.since.add(lost.counts)
            if now - self._heard_at > GIVE_UP:
                self._stop = True
            return
        self._grant, self._granted_at, self._heard_at = grant, now, now
        if grant.stop is not None:
            self._stop = True
        for channel, given in zip(self._channels, grant.endpoints, strict=False):  # an older attempt of a task is given none
            channel.take(given)
            if given.answered:
                self._note_answer(channel)
        self._clock.stand_still(bool(grant.endpoints) and all(given.out for given in grant.endpoints))

    def _pump(self) -> None:
        """Start what may start: first the rows that have been tried already."""
        fresh = time.monotonic() - self._granted_at <= self._grant.expires_in
        while not self._stop and fresh and (self._again or self._new):
            chosen = self._next()
            if chosen is None:
                break
            channel, row = chosen
            channel.starts -= 1
            channel.since.started += 1
            channel.in_flight += 1
            self._in_flight += 1
            row.endpoint = channel.index
            task = self._loop.create_task(self._send(row, channel))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        idle = not (self._again or self._new or self._input_open)
        if self._finished() or (idle and self._in_flight < sum(channel.grant.concurrency for channel in self._channels)):
            self._wake.set()  # hand the permits on

    def _next(self) -> tuple[Channel, TrackedCall] | None:
        """The endpoint that has the least to do for its weight, of those with room, and a row that may go there."""
        channels = self._channels if len(self._channels) == 1 else sorted(self._channels, key=lambda channel: channel.load)
        for channel in channels:
            if channel.in_flight + channel.held >= channel.grant.concurrency:
                continue
            if channel.starts <= 0:
                self._wake.set()
            elif (row := row_for(channel, self._again, self._new)) is not None:
                return channel, row
        return None

    async def _send(self, row: TrackedCall, channel: Channel) -> None:
        if row.first_send is None:
            row.first_send = self._clock.now()
        try:
            try:
                attempt = await channel.client.attempt(row.call, row.messages)
            finally:
                self._in_flight -= 1
                channel.in_flight -= 1
                channel.since.settled += 1
            row.usage += attempt.usage
            channel.settle(attempt, attempt.usage.cost_usd(self._model) or 0.0)
            elsewhere = attempt.kind is not None and may_go_elsewhere(row, channel, self._channels)
            elapsed = self._clock.now() - row.first_send
            decision = decide(attempt.kind, row.tries, self._model, elapsed, attempt.retry_after, elsewhere)
            self._follow(row, attempt, decision, channel)
            if attempt.kind is None:
                self._note_answer(channel)
        except BaseException as error:  # a bug or a full disk: the task must end, not hang
            self._failure, self._stop = error, True
        self._pump()

    def _follow(self, row: TrackedCall, attempt: Attempt, decision: Decision, channel: Channel) -> None:
        if attempt.kind in FATAL:
            channel.fatal, channel.fatal_kind = attempt.message or attempt.kind.value, attempt.kind.value
            channel.starts = 0
            self._wake.set()
            if len(self._channels) > 1:  # the governor stops all once none is left
                self._send_elsewhere(row, attempt, channel)
                self._again.append(row)
                return
            self._stop = True
            self._end(row, attempt, Decision(None, final=False, kind=attempt.kind), channel)
            return
        if decision.retry_in is None:
            halves = row.call.halves() if decision.final and decision.kind is not None else ()
            if halves:  # refused for good, but perhaps for one of its texts only: halved until that one is found
                self._again.extend(row.split(halves))
            elif attempt.kind in REFUSED and not channel.answered:
                if may_go_elsewhere(row, channel, self._channels, answered=True):
                    self._send_elsewhere(row, attempt, channel)
                    self._again.append(row)
                else:
                    channel.kept_back.append((row, attempt, decision))
            else:
                self._end(row, attempt, decision, channel)
            return
        if attempt.kind is ErrorKind.INVALID:
            row.correct(attempt)
        if attempt.kind is ErrorKind.RATE_LIMIT:
            self._hold(0.5 if attempt.retry_after is None else min(attempt.retry_after, 0.5), channel)
        if attempt.kind not in BAD_ANSWER:
            self._send_elsewhere(row, attempt, channel)
        if decision.retry_in <= 0:
            self._again.append(row)
        else:
            self._waiting += 1
            self._loop.call_later(decision.retry_in, self._woken, row)

    def _send_elsewhere(self, row: TrackedCall, attempt: Attempt, channel: Channel) -> None:
        if len(self._channels) > 1:
            wait = ELSEWHERE if attempt.retry_after is None else min(attempt.retry_after, self._model.deadline_seconds)
            row.avoid(channel.index, time.monotonic() + wait)

    def _note_answer(self, channel: Channel) -> None:
        if not channel.answered:
            channel.answered = True
            self._settle_refused(channel)

    def _settle_refused(self, channel: Channel) -> None:
        """A refusal is a verdict on its text if the endpoint answers others; what it refuses alike for all is asked again next time."""
        kept_back, channel.kept_back = channel.kept_back, []
        for row, attempt, decision in kept_back:
            self._end(row, attempt, Decision(None, final=channel.answered, kind=decision.kind), channel)

    def _woken(self, row: TrackedCall) -> None:
        self._waiting -= 1
        self._again.append(row)
        self._pump()

    def _hold(self, seconds: float, channel: Channel) -> None:
        """A 429 costs its permit for a moment: the next row would be refused as well."""
        channel.held += 1
        self._wake.set()

        def release() -> None:
            channel.held -= 1
            self._pump()

        self._loop.call_later(seconds, release)

    def _end(self, row: TrackedCall, attempt: Attempt, decision: Decision, channel: Channel) -> None:
        if decision.final:
            channel.since.answered += row.call.size
        else:
            channel.since.failed += row.call.size
        self._outbox.put(self._record(row.outcome(attempt, decision)))
