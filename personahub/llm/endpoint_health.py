"""One endpoint as the governor sees it: what it takes at once and in a minute, and whether it is there. Arithmetic on a clock, no I/O.

An endpoint that is not there, refuses the key or fails at nearly all is left out: one request at a time, at growing intervals, finds out
whether it is back. In a pool each endpoint begins so, that a dead one costs one request and not as many as it has places.
"""

from collections import deque
from dataclasses import dataclass

from personahub.errors import ErrorKind
from personahub.llm.adaptive_limit import AdaptiveLimit
from personahub.llm.retry import NO_FAILURE
from personahub.llm.token_bucket import TokenBucket
from personahub.llm.types import Counts, EndpointLimits, EndpointReport, Limits

ERROR_WINDOW = 200  # the error rate is that of the last so many attempts
ERROR_MINIMUM = 100  # ... once there are this many
DEAD_AFTER = 20  # attempts without a single answer
DOWN_AFTER = 5  # attempts in a row that did not find it there
UNREACHABLE_AFTER = 3  # trials of one that has never answered: its address may be wrong
TRIAL_SECONDS, LONGEST_TRIAL_SECONDS = 1.0, 30.0  # between two trials: the first interval, and the longest
GROWTH = 1.5  # of an interval to the next: what is back is found after half of the time that it was away
DOWN, UNTRIED, UNREACHABLE, ERROR_RATE = "down", "untried", "unreachable", "error_rate"
MAY_PASS = (DOWN, UNTRIED)  # by waiting
# a parameter that is refused is sent in another way, which is another request
_NO_FAILURE = frozenset(kind.value for kind in (*NO_FAILURE, ErrorKind.UNSUPPORTED))
_THROTTLED = (ErrorKind.RATE_LIMIT, ErrorKind.OVERLOADED)
# nothing that the endpoint was asked for was worked on
_NOT_SERVED = (
    *(ErrorKind.CONNECTION, ErrorKind.TIMEOUT, ErrorKind.SERVER, ErrorKind.OVERLOADED, ErrorKind.MALFORMED),
    *(ErrorKind.AUTHENTICATION, ErrorKind.NOT_FOUND, ErrorKind.QUOTA),
)


@dataclass(slots=True)
class Outage:
    """Why an endpoint is left out, since when, and when it is tried again."""

    kind: str  # MAY_PASS, UNREACHABLE, ERROR_RATE, or an ErrorKind that no request can pass
    reason: str
    since: float
    trial_at: float
    interval: float = TRIAL_SECONDS
    failed_trials: int = 0
    tried_by: str | None = None  # the task whose request is on its way


class Endpoint:
    """`alone`: the only one of its pool. Its first requests are as many as it has places."""

    def __init__(self, limits: EndpointLimits, of_all: Limits, now: float, alone: bool = True) -> None:
        self.limits = limits
        self._of_all = of_all
        self.adaptive = AdaptiveLimit(limits.concurrency, of_all.request_timeout)
        self.requests = TokenBucket(limits.requests_per_minute, now) if limits.requests_per_minute else None
        self.tokens = TokenBucket(limits.tokens_per_minute, now) if limits.tokens_per_minute else None
        self.totals = Counts()
        self.refusal: str | None = None  # what it said to requests that it refused while it had answered none
        self.outage = None if alone else Outage(UNTRIED, "it has not been asked yet", now, now)
        self._there = limits.known  # it has answered, now or earlier
        self._in_a_row = 0  # attempts that did not find it there
        self._recent: deque[tuple[int, int]] = deque()  # attempts that failed, that did not, of each report

    @property
    def limit(self) -> int:
        """Requests that it takes at once."""
        return 0 if self.outage else self.adaptive.limit

    @property
    def answered(self) -> bool:
        return self.totals.good > 0

    def learn(self, now: float, task: str, report: EndpointReport, in_flight: int, wants: int) -> None:
        """Take in what a task reports. in_flight, wants: of all tasks."""
        counts = report.counts
        self.totals.add(counts)
        self.refusal = self.refusal or report.refusal
        served = counts.settled - sum(counts.errors.get(kind.value, 0) for kind in _NOT_SERVED)
        self._there = self._there or served > 0
        if self.outage:
            self._try_again(now, task, served, report)
        elif report.fatal:
            self._leave_out(report.fatal_kind or "fatal", report.fatal, now)
        elif self._is_down(served, counts.down):
            self._leave_out(DOWN, report.down or "it is not there", now)
        else:
            throttled = sum(counts.errors.get(kind.value, 0) for kind in _THROTTLED)
            timed_out = counts.errors.get(ErrorKind.TIMEOUT.value, 0)
            self.adaptive.observe(now, counts.settled, throttled, in_flight, wants >= self.adaptive.limit, timed_out)
            if why := self._fails_too_often(counts):
                self._leave_out(ERROR_RATE, why, now)

    def fits(self, now: float, tokens_each: float) -> tuple[int | None, float]:
        """How many requests its limits per minute let start now (None: it has none), and in how many seconds to ask again if none."""
        fitting, wait = None, 0.0
        for bucket, each in ((self.requests, 1), (self.tokens, tokens_each)):
            if bucket is not None:
                count, again = bucket.fits(now, each)
                fitting = count if fitting is None else min(fitting, count)
                wait = wait if count else again
        return fitting, wait

    def starts_trial(self, now: float, task: str) -> bool:
        """It is left out, and a request of this task is the next that finds out whether it is back."""
        if self.outage is None or now < self.outage.trial_at:
            return False
        self.outage.tried_by = task
        self.outage.trial_at = now + LONGEST_TRIAL_SECONDS  # unless its end is heard before
        return True

    def _try_again(self, now: float, task: str, served: int, report: EndpointReport) -> None:
        assert self.outage is not None
        outage, counts = self.outage, report.counts
        if served > 0:
            self.outage = None
            self._in_a_row = 0
            self._recent.clear()
            if outage.kind != UNTRIED:  # what has just started is not met with all that is waiting
                self.adaptive = AdaptiveLimit(self.limits.concurrency, self._of_all.request_timeout)
        elif counts.settled and outage.tried_by == task:  # others speak of what began before
            outage.tried_by = None
            outage.failed_trials += 1
            outage.trial_at = now + outage.interval
            outage.interval = min(LONGEST_TRIAL_SECONDS, GROWTH * outage.interval)
            if report.fatal:
                outage.kind, outage.reason = report.fatal_kind or "fatal", report.fatal
            elif outage.kind in MAY_PASS:
                may_pass = self._there or outage.failed_trials < UNREACHABLE_AFTER
                outage.kind, outage.reason = (DOWN if may_pass else UNREACHABLE), report.down or outage.reason
        elif outage.tried_by == task and not (counts.started or report.in_flight):  # it had nothing to send
            outage.tried_by, outage.trial_at = None, now

    def _leave_out(self, kind: str, reason: str, now: float) -> None:
        self.outage = Outage(kind, reason, now, now + TRIAL_SECONDS, GROWTH * TRIAL_SECONDS)

    def _is_down(self, served: int, down: int) -> bool:
        """Of a mixture most count: the answers may have come before. One that was never there is known by its error rate."""
        if served or down:
            self._in_a_row = self._in_a_row + down if down > 2 * served else 0
        return self._there and self._in_a_row >= DOWN_AFTER

    def _fails_too_often(self, counts: Counts) -> str | None:
        """The circuit breaker."""
        errors = sum(count for kind, count in counts.errors.items() if kind not in _NO_FAILURE)
        if errors or counts.good:
            self._recent.append((errors, counts.good))
        while sum(map(sum, self._recent)) - sum(self._recent[0] if self._recent else ()) >= ERROR_WINDOW:
            self._recent.popleft()
        failures, attempts = sum(bad for bad, _ in self._recent), sum(map(sum, self._recent))
        dead = attempts >= DEAD_AFTER and failures == attempts
        if not dead and (attempts < ERROR_MINIMUM or failures <= self._of_all.max_error_rate * attempts):
            return None
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.totals.errors.most_common())
        said = f": {self.refusal}" if dead and self.refusal else ""
        return f"{failures} of the last {attempts} attempts failed ({kinds}){said}"
