"""Who may call how fast: one governor decides for all tasks of a stage. Arithmetic on a clock, no I/O.

Every HTTP request needs a permit: retries and second tries too. A permit reserves the upper estimate of one request in dollars, and
what it is expected to take of the tokens per minute; the report that settles it puts what it took in their place. What a lost task had
reserved counts as spent.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from personahub.errors import ErrorKind
from personahub.llm.adaptive_limit import AdaptiveLimit, fair_shares
from personahub.llm.token_bucket import Permits, TokenBucket
from personahub.llm.types import Counts, Grant, Limits, Report, Snapshot

REPORT_SECONDS = 0.25
LEASE_SECONDS = 10.0  # a task unheard for longer starts no call, and its share goes to the others
UNLIMITED = 1_000_000
ERROR_WINDOW = 200  # the error rate is that of the last so many attempts
ERROR_MINIMUM = 100  # ... once there are this many
DEAD_AFTER = 20  # attempts without a single answer
LEARNED = 20  # answers after which the tokens of a request are expected to be their mean
# waiting is not failing, a model that declines is not down, and what only this text or this way of asking meets is no verdict on others
_NO_FAILURE = frozenset(
    kind.value
    for kind in (
        ErrorKind.RATE_LIMIT,
        ErrorKind.REFUSED,
        ErrorKind.CONTENT_FILTER,
        ErrorKind.PROMPT_FILTERED,
        ErrorKind.CONTEXT_CUT,
        ErrorKind.UNSUPPORTED,
    )
)
_THROTTLED = (ErrorKind.RATE_LIMIT, ErrorKind.OVERLOADED)


@dataclass(slots=True)
class _Task:
    attempt: int
    heard: float
    wants: int = 0
    in_flight: int = 0
    allowed: int = 0  # requests it may have in flight until it reports again
    granted: int = 0  # permits given and not yet reported as started
    open: int = 0  # permits started and not yet settled
    requests: deque[Permits] = field(default_factory=deque)  # taken of the requests a minute, and of the tokens
    tokens: deque[Permits] = field(default_factory=deque)
    done: bool = False


class Governor:
    """Takes `Report`s, gives `Grant`s. Thread-safe."""

    def __init__(self, limits: Limits, total: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.total = total
        self.stop: str | None = None  # why nothing may start any more
        self.stop_kind: str | None = None  # budget, drain, error_rate, or an ErrorKind
        self.refusal: str | None = None  # what the endpoint said to requests that it refused while it had answered none
        self._clock = clock
        now = clock()
        self._begin = now
        self._adaptive = AdaptiveLimit(limits.concurrency, limits.request_timeout)
        self._requests = TokenBucket(limits.requests_per_minute, now) if limits.requests_per_minute else None
        self._tokens = TokenBucket(limits.tokens_per_minute, now) if limits.tokens_per_minute else None
        self._tasks: dict[str, _Task] = {}
        self._totals = Counts()
        self._lost_usd = 0.0
        self._recent: deque[tuple[int, int]] = deque()  # attempts that failed, that did not, of each report
        self._minute: deque[tuple[float, int, int]] = deque()  # time, requests, tokens
        self._lock = threading.Lock()

    # -- what tasks and drivers call -----------------------------------------------------------------------------------------------

    def report(self, report: Report) -> Grant:
        """Settle what happened, then decide what may start."""
        with self._lock:
            now = self._clock()
            task = self._tasks.get(report.task)
            if task is not None and report.attempt < task.attempt:
                return Grant(0, 0, REPORT_SECONDS, LEASE_SECONDS, stop="a newer attempt of this task has taken over")
            if task is None or report.attempt > task.attempt:
                if task is not None:
                    self._give_up(task)
                task = self._tasks[report.task] = _Task(report.attempt, now)
            self._settle(task, report, now)
            self._learn(report, now)
            return self._grant(task, report, now)

    def drain(self, reason: str = "interrupted", kind: str = "drain") -> None:
        """Nothing more starts; what is in flight ends and is kept. A user's wish comes before any other reason."""
        with self._lock:
            self.stop, self.stop_kind = reason, kind

    @property
    def answered(self) -> bool:
        """Whether the endpoint has answered a request at all."""
        return self._totals.good > 0

    def snapshot(self) -> Snapshot:
        with self._lock:
            now = self._clock()
            self._forget_old_minutes(now)
            span = min(60.0, max(now - self._begin, 1e-9))
            totals = self._totals
            done = totals.answered + totals.failed
            elapsed = now - self._begin
            left = self.total - done
            return Snapshot(
                done=done,
                total=self.total,
                failed=totals.failed,
                requests=totals.started,
                requests_per_minute=sum(n for _, n, _ in self._minute) * 60 / span,
                tokens_per_minute=sum(n for _, _, n in self._minute) * 60 / span,
                cost_usd=totals.usd,
                errors=dict(totals.errors),
                in_flight=sum(task.in_flight for task in self._tasks.values()),
                wanted=sum(task.wants for task in self._live(now).values()),
                limit=self._adaptive.limit,
                eta_s=elapsed / done * left if done and left > 0 else None,
                stop=self.stop,
            )

    # -- arithmetic ----------------------------------------------------------------------------------------------------------------

    def _settle(self, task: _Task, report: Report, now: float) -> None:
        counts = report.counts
        unused = max(0, task.granted - counts.started)
        for bucket, taken, amount in self._buckets(task, counts):
            bucket.advance(now)
            bucket.give_back(taken, unused)
            bucket.settle(taken, counts.settled, amount)
        task.granted = 0
        task.open = max(0, task.open + counts.started - counts.settled)
        task.heard, task.wants, task.in_flight, task.done = now, report.wants, report.in_flight, report.done
        self._totals.add(counts)
        if counts.started or counts.tokens:
            self._minute.append((now, counts.started, counts.tokens))
            self._forget_old_minutes(now)

    def _learn(self, report: Report, now: float) -> None:
        """The concurrency limit and the circuit breaker."""
        counts = report.counts
        throttled = sum(counts.errors.get(kind.value, 0) for kind in _THROTTLED)
        wants = sum(task.wants for task in self._live(now).values())
        in_flight = sum(task.in_flight for task in self._live(now).values())
        timed_out = counts.errors.get(ErrorKind.TIMEOUT.value, 0)
        self._adaptive.observe(now, counts.settled, throttled, in_flight, wants >= self._adaptive.limit, timed_out)
        self.refusal = self.refusal or report.refusal
        if report.fatal:
            self._halt(report.fatal, report.fatal_kind or "fatal")
        errors = sum(count for kind, count in counts.errors.items() if kind not in _NO_FAILURE)
        if errors or counts.good:
            self._recent.append((errors, counts.good))
        while sum(map(sum, self._recent)) - sum(self._recent[0] if self._recent else ()) >= ERROR_WINDOW:
            self._recent.popleft()
        failures, attempts = sum(bad for bad, _ in self._recent), sum(map(sum, self._recent))
        dead = attempts >= DEAD_AFTER and failures == attempts
        if dead or (attempts >= ERROR_MINIMUM and failures > self.limits.max_error_rate * attempts):
            kinds = ", ".join(f"{kind} {count}" for kind, count in self._totals.errors.most_common())
            said = f": {self.refusal}" if dead and self.refusal else ""
            self._halt(f"{failures} of the last {attempts} attempts failed ({kinds}){said}", "error_rate")

    def _grant(self, task: _Task, report: Report, now: float) -> Grant:
        live = self._live(now)
        interval = REPORT_SECONDS * max(1.0, len(live) / 64)
        if self.stop is not None or report.done:
            task.allowed = 0
            return Grant(0, 0, interval, LEASE_SECONDS, self.stop, self.answered)
        share = fair_shares(self._adaptive.limit, {name: each.wants for name, each in live.items()}).get(report.task, 0)
        # what others still hold is theirs until they report that they gave it back
        held = sum(max(each.allowed, each.in_flight) for name, each in live.items() if name != report.task)
        task.allowed = share = max(0, min(share, self._adaptive.limit - held))
        room = max(0, share - report.in_flight)
        starts, wait = self._permits(room, now)
        if starts < UNLIMITED:
            task.granted = starts
            if self._requests and starts:
                task.requests.append(self._requests.take(starts, 1))
            if self._tokens and starts:
                task.tokens.append(self._tokens.take(starts, self._tokens_each()))
        if starts == 0 and room and self._spent_out():
            self._halt("inference.budget_usd leaves no room for another request", "budget")
            return Grant(0, 0, interval, LEASE_SECONDS, self.stop, self.answered)
        report_in = min(interval, max(0.05, wait)) if starts == 0 and room else interval
        return Grant(share, starts, report_in, LEASE_SECONDS, answered=self.answered)

    def _permits(self, room: int, now: float) -> tuple[int, float]:
        """How many of `room` requests may start, and in how many seconds to ask again if none."""
        starts, wait = UNLIMITED, REPORT_SECONDS
        for bucket, each in ((self._requests, 1), (self._tokens, self._tokens_each())):
            if bucket is not None:
                fits, again = bucket.fits(now, each)
                starts = min(starts, room, fits)
                if not fits:
                    wait = again
        if self.limits.budget_usd is not None:
            left = self.limits.budget_usd - self._committed_usd()
            fits = room if self.limits.usd_each <= 0 else math.floor(left / self.limits.usd_each + 1e-9)
            starts = min(starts, room, max(0, fits))
        return max(0, starts), wait

    def _tokens_each(self) -> float:
        """What a request is expected to take of the tokens per minute: what answers took so far, at most the upper estimate.

        The upper estimate itself, with all of max_tokens for an answer, may be many times that, and would leave the minute unused.
        """
        highest, good = max(1, self.limits.tokens_each), self._totals.good
        return min(highest, max(1.0, self._totals.tokens / good)) if good >= LEARNED else highest

    def _buckets(self, task: _Task, counts: Counts) -> Iterator[tuple[TokenBucket, deque[Permits], int]]:
        """Each limit per minute that there is, what the task has taken of it, and what the settled requests took."""
        if self._requests:
            yield self._requests, task.requests, counts.settled
        if self._tokens:
            yield self._tokens, task.tokens, counts.tokens

    def _committed_usd(self) -> float:
        reserved = sum(task.granted + task.open for task in self._tasks.values())
        return self._totals.usd + self._lost_usd + reserved * self.limits.usd_each

    def _spent_out(self) -> bool:
        """The budget is what holds requests back, and nothing is out that could still give some of it back."""
        if self.limits.budget_usd is None or any(task.granted or task.open for task in self._tasks.values()):
            return False
        return self.limits.budget_usd - self._committed_usd() < self.limits.usd_each * (1 - 1e-9)

    def _live(self, now: float) -> dict[str, _Task]:
        for name, task in list(self._tasks.items()):
            if task.done and not task.open:
                del self._tasks[name]
            elif now - task.heard > 6 * LEASE_SECONDS:
                self._give_up(task)
                del self._tasks[name]
        return {name: task for name, task in self._tasks.items() if now - task.heard <= LEASE_SECONDS and not task.done}

    def _give_up(self, task: _Task) -> None:
        """What a lost task had in flight may have been bought."""
        self._lost_usd += (task.granted + task.open) * self.limits.usd_each
        task.granted = task.open = 0

    def _halt(self, reason: str, kind: str) -> None:
        if self.stop is None:
            self.stop, self.stop_kind = reason, kind

    def _forget_old_minutes(self, now: float) -> None:
        while self._minute and self._minute[0][0] < now - 60:
            self._minute.popleft()
