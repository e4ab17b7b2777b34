"""Who may call how fast: one governor decides for all tasks of a stage. Arithmetic on a clock, no I/O.

Every HTTP request needs a permit: retries and second tries too. A permit reserves the upper estimate of one request in dollars, and
what it is expected to take of the tokens per minute; the report that settles it puts what it took in their place. What a lost task had
reserved counts as spent.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from personahub.llm.adaptive_limit import fair_shares
from personahub.llm.endpoint_health import MAY_PASS, UNTRIED, Endpoint
from personahub.llm.token_bucket import Permits
from personahub.llm.types import Counts, EndpointGrant, EndpointReport, Grant, Limits, Report, Snapshot

REPORT_SECONDS = 0.25
LEASE_SECONDS = 10.0  # a task unheard for longer starts no call, and its share goes to the others
UNLIMITED = 1_000_000
LEARNED = 20  # answers after which the tokens of a request are expected to be their mean


@dataclass(slots=True)
class _Share:
    """What a task has of one endpoint."""

    in_flight: int = 0
    allowed: int = 0  # requests it may have in flight until it reports again
    granted: int = 0  # permits given and not yet reported as started
    open: int = 0  # permits started and not yet settled
    requests: deque[Permits] = field(default_factory=deque)  # taken of the requests a minute, and of the tokens
    tokens: deque[Permits] = field(default_factory=deque)


@dataclass(slots=True)
class _Task:
    attempt: int
    heard: float
    shares: list[_Share]
    wants: int = 0
    idle: int = 0  # of these, requests that are not in flight, and could be anywhere
    done: bool = False

    @property
    def reserved(self) -> int:
        return sum(share.granted + share.open for share in self.shares)


class Governor:
    """Takes `Report`s, gives `Grant`s. Thread-safe."""

    def __init__(self, limits: Limits, total: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.total = total
        self.stop: str | None = None  # why nothing may start any more
        self.stop_kind: str | None = None  # budget, drain, error_rate, down, unreachable, or an ErrorKind
        self._clock = clock
        now = clock()
        self._begin = now
        alone = len(limits.endpoints) == 1
        self._endpoints = [Endpoint(each, limits, now, alone) for each in limits.endpoints]
        self._tasks: dict[str, _Task] = {}
        self._totals = Counts()
        self._lost_usd = 0.0
        self._minute: deque[tuple[float, int, int]] = deque()  # time, requests, tokens
        self._lock = threading.Lock()

    # -- what tasks and drivers call -----------------------------------------------------------------------------------------------

    def report(self, report: Report) -> Grant:
        """Settle what happened, then decide what may start."""
        with self._lock:
            now = self._clock()
            task = self._tasks.get(report.task)
            if task is not None and report.attempt < task.attempt:
                return Grant((), REPORT_SECONDS, LEASE_SECONDS, stop="a newer attempt of this task has taken over")
            if task is None or report.attempt > task.attempt:
                if task is not None:
                    self._give_up(task)
                task = self._tasks[report.task] = _Task(report.attempt, now, [_Share() for _ in self._endpoints])
            told = report.endpoints or (EndpointReport(),) * len(self._endpoints)
            task.heard, task.wants, task.done = now, report.wants, report.done
            task.idle = max(0, report.wants - sum(each.in_flight for each in told))
            for endpoint, share, each in zip(self._endpoints, task.shares, told, strict=True):
                self._settle(endpoint, share, each, now)
            live = self._live(now)
            idle = sum(one.idle for one in live.values())
            for index, (endpoint, each) in enumerate(zip(self._endpoints, told, strict=True)):
                in_flight = sum(one.shares[index].in_flight for one in live.values())
                endpoint.learn(now, report.task, each, in_flight, in_flight + idle)
            self._stop_if_all_are_out(now)
            return self._grant(task, report, now)

    def drain(self, reason: str = "interrupted", kind: str = "drain") -> None:
        """Nothing more starts; what is in flight ends and is kept. A user's wish comes before any other reason."""
        with self._lock:
            self.stop, self.stop_kind = reason, kind

    @property
    def answered(self) -> bool:
        """Whether a request was answered at all."""
        return self._totals.good > 0

    @property
    def refusal(self) -> str | None:
        """What an endpoint said to requests that it refused while it had answered none."""
        return next((each.refusal for each in self._endpoints if each.refusal), None)

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
                in_flight=sum(share.in_flight for task in self._tasks.values() for share in task.shares),
                wanted=sum(task.wants for task in self._live(now).values()),
                limit=sum(each.limit for each in self._endpoints),
                eta_s=elapsed / done * left if done and left > 0 else None,
                stop=self.stop,
                out=self._outages(now),
            )

    # -- arithmetic ----------------------------------------------------------------------------------------------------------------

    def _settle(self, endpoint: Endpoint, share: _Share, report: EndpointReport, now: float) -> None:
        counts = report.counts
        unused = max(0, share.granted - counts.started)
        for bucket, taken, amount in (
            (endpoint.requests, share.requests, counts.settled),
            (endpoint.tokens, share.tokens, counts.tokens),
        ):
            if bucket is not None:
                bucket.advance(now)
                bucket.give_back(taken, unused)
                bucket.settle(taken, counts.settled, amount)
        share.granted = 0
        share.open = max(0, share.open + counts.started - counts.settled)
        share.in_flight = report.in_flight
        self._totals.add(counts)
        if counts.started or counts.tokens:
            self._minute.append((now, counts.started, counts.tokens))
            self._forget_old_minutes(now)

    def _grant(self, task: _Task, report: Report, now: float) -> Grant:
        live = self._live(now)
        interval = REPORT_SECONDS * max(1.0, len(live) / 64)
        if self.stop is None and not report.done:
            given = [self._share_of(index, report.task, task, live, now) for index in range(len(self._endpoints))]
            rooms, waits = sum(room for _, room, _ in given), [wait for _, room, wait in given if room]
            starts = sum(each.starts for each, _, _ in given)
            if starts or not rooms or not self._spent_out():
                report_in = min(interval, max(0.05, min(waits))) if rooms and not starts else interval
                return Grant(tuple(each for each, _, _ in given), report_in, LEASE_SECONDS)
            self._halt("inference.budget_usd leaves no room for another request", "budget")
        for share in task.shares:
            share.allowed = 0
        nothing = tuple(EndpointGrant(out=each.outage is not None, answered=each.answered) for each in self._endpoints)
        return Grant(nothing, interval, LEASE_SECONDS, self.stop)

    def _share_of(
        self, index: int, name: str, task: _Task, live: dict[str, _Task], now: float
    ) -> tuple[EndpointGrant, int, float]:
        """What a task may do at one endpoint; how many requests it could start there but for permits; when to ask for these again."""
        endpoint, share = self._endpoints[index], task.shares[index]
        if endpoint.outage is None:
            # of one endpoint a task wants what it has in flight there, and whatever is in flight nowhere
            wants = {each: one.shares[index].in_flight + one.idle for each, one in live.items()}
            fair = fair_shares(endpoint.limit, wants).get(name, 0)
            # what others still hold is theirs until they report that they gave it back
            others = (one.shares[index] for each, one in live.items() if each != name)
            fair = max(0, min(fair, endpoint.limit - sum(max(one.allowed, one.in_flight) for one in others)))
        else:
            fair = share.in_flight + 1 if task.idle and endpoint.starts_trial(now, name) else 0
        share.allowed = fair
        room = max(0, fair - share.in_flight)
        starts, wait = self._permits(endpoint, room, now)
        if endpoint.outage is not None:
            starts = min(starts, room)
        if starts < UNLIMITED:
            share.granted = starts
            if endpoint.requests and starts:
                share.requests.append(endpoint.requests.take(starts, 1))
            if endpoint.tokens and starts:
                share.tokens.append(endpoint.tokens.take(starts, self._tokens_each()))
        return EndpointGrant(fair, starts, endpoint.outage is not None, endpoint.answered), room, wait

    def _permits(self, endpoint: Endpoint, room: int, now: float) -> tuple[int, float]:
        """How many of `room` requests may start, and in how many seconds to ask again if none."""
        fits, wait = endpoint.fits(now, self._tokens_each())
        starts = UNLIMITED if fits is None else min(room, fits)
        if self.limits.budget_usd is not None:
            left = self.limits.budget_usd - self._committed_usd()
            paid = room if self.limits.usd_each <= 0 else math.floor(left / self.limits.usd_each + 1e-9)
            starts = min(starts, room, max(0, paid))
        return max(0, starts), wait if fits == 0 else REPORT_SECONDS

    def _stop_if_all_are_out(self, now: float) -> None:
        outages = [each.outage for each in self._endpoints if each.outage]
        if len(outages) < len(self._endpoints):
            return
        if not any(each.kind in MAY_PASS for each in outages):
            self._halt("; ".join(dict.fromkeys(each.reason for each in outages)), outages[0].kind)
        elif self._all_out_for(now) >= self.limits.down_seconds:
            self._halt(f"{self._told(now)}; nothing was answered for {self.limits.down_seconds:.0f} s", "down")

    def _all_out_for(self, now: float) -> float:
        """Seconds since the last endpoint of the pool was left out."""
        return now - max((each.outage.since if each.outage else now) for each in self._endpoints)

    def _told(self, now: float) -> str:
        """The endpoints that are out, for people."""
        out = ((each.limits.name, each.outage) for each in self._endpoints if each.outage and each.outage.kind != UNTRIED)
        told = ((name, now - each.since, each.reason.removeprefix(f"no connection to {name}: ")) for name, each in out)
        return "; ".join(f"{name} has been out for {seconds:.0f} s ({reason})" for name, seconds, reason in told)

    def _outages(self, now: float) -> str | None:
        told = self._told(now)
        if told and all(each.outage for each in self._endpoints):
            left = max(0.0, self.limits.down_seconds - self._all_out_for(now))
            return f"{told}; all requests wait for it, {left:.0f} s more at most"
        return told or None

    def _tokens_each(self) -> float:
        """What a request is expected to take of the tokens per minute: what answers took so far, at most the upper estimate.

        The upper estimate itself, with all of max_tokens for an answer, may be many times that, and would leave the minute unused.
        """
        highest, good = max(1, self.limits.tokens_each), self._totals.good
        return min(highest, max(1.0, self._totals.tokens / good)) if good >= LEARNED else highest

    def _committed_usd(self) -> float:
        reserved = sum(task.reserved for task in self._tasks.values())
        return self._totals.usd + self._lost_usd + reserved * self.limits.usd_each

    def _spent_out(self) -> bool:
        """The budget is what holds requests back, and nothing is out that could still give some of it back."""
        if self.limits.budget_usd is None or any(task.reserved for task in self._tasks.values()):
            return False
        return self.limits.budget_usd - self._committed_usd() < self.limits.usd_each * (1 - 1e-9)

    def _live(self, now: float) -> dict[str, _Task]:
        for name, task in list(self._tasks.items()):
            if task.done and not task.reserved:
                del self._tasks[name]
            elif now - task.heard > 6 * LEASE_SECONDS:
                self._give_up(task)
                del self._tasks[name]
        return {name: task for name, task in self._tasks.items() if now - task.heard <= LEASE_SECONDS and not task.done}

    def _give_up(self, task: _Task) -> None:
        """What a lost task had in flight may have been bought."""
        self._lost_usd += task.reserved * self.limits.usd_each
        for share in task.shares:
            share.granted = share.open = 0

    def _halt(self, reason: str, kind: str) -> None:
        if self.stop is None:
            self.stop, self.stop_kind = reason, kind

    def _forget_old_minutes(self, now: float) -> None:
        while self._minute and self._minute[0][0] < now - 60:
            self._minute.popleft()
