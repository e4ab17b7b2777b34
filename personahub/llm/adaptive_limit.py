"""How many requests an endpoint takes at once, learned from what it serves. Arithmetic on a clock that the caller passes in."""

from collections import deque

PROOF_SECONDS = 1.0  # a level held this long, in full use and without overload, is proven
PROBE_PAUSE = 4.0  # seconds between a probe that failed and the next one
SETTLE_SECONDS = 0.5  # until all tasks know of a lower limit: a 429 before that speaks of the level that was left
START = 64  # the first level; more is doubled into
FIRST_LEVEL_SHARE = 0.10  # share of throttled requests that speaks of overload while nothing is proven yet
COLLAPSE_SHARE = 0.25  # ... and at a proven level: the endpoint has shrunk
TIMED_OUT_SHARE = 0.1  # of requests that waited in a line too long for them
TIMEOUTS = 5  # fewer of them say nothing


class AdaptiveLimit:
    """The concurrency limit, between 1 and `maximum`.

    A 429 or 503 at a level that was *proven* (held in full use without overload) is stray: the limit stands. Above it, while a higher
    level is being tried, it is overload: the limit goes back to what was proven. A higher level is proven once more requests are in
    service: a 429 keeps its permit back for a moment, and so overload by a few can look as rare as stray ones. Steps double while
    they succeed and are a quarter of one that failed, but at least a twentieth of the limit: less would not show in what is in service.

    Servers without a limit of their own (vLLM and the like) throttle nobody: they let requests wait in line, and those that time out there
    may be paid for. Where these are many, the limit is halved; what was sent before that says nothing more, and a higher level is not
    tried for long.
    """

    def __init__(self, maximum: int, timeout: float = 120.0) -> None:
        """timeout: seconds after which a request is given up."""
        self.maximum = maximum
        self._timeout = timeout
        self._lines: deque[tuple[float, int, int]] = deque()  # time, requests that ended, of which timed out
        self._deaf_until = 0.0
        self._pause = 0.0  # seconds between steps upwards, where a line tells only after a while that it is too long
        self.limit = min(maximum, START)
        self.proven = 0
        self._step = self.limit
        self._since: float | None = None
        self._not_before = 0.0
        self._stray_share = 0.0
        self._in_service = 0.0  # requests, at the proven level
        self._seen: deque[tuple[float, int, int, int]] = deque()

    def observe(self, now: float, ended: int, throttled: int, in_flight: int, saturated: bool, timed_out: int = 0) -> int:
        """Take in what ended since the last call (`throttled` of them by 429 or 503, `timed_out` by waiting) and return the limit.

        `in_flight`: requests in service now, over all tasks. `saturated`: as many as the limit allows are wanted.
        """
        if self._since is None:
            self._since = now
        self._seen.append((now, ended, throttled, in_flight))
        while self._seen[0][0] < now - 2 * PROOF_SECONDS:
            self._seen.popleft()
        all_ended = sum(n for t, n, _, _ in self._seen if t >= self._since)
        all_throttled = sum(n for t, _, n, _ in self._seen if t >= self._since)
        tried = self.proven and self.limit > self.proven
        if self._waits_too_long(now, ended, timed_out):
            self.proven = 0
            self._fall_to(max(1, self.limit // 2), now)
            self._deaf_until, self._not_before = now + self._timeout, now + 4 * self._timeout
            self._pause = 2 * self._timeout
        elif tried and all_throttled > 2 + 3 * self._stray_share * all_ended:
            self._fall_to(self.proven, now)
        elif not tried and throttled and now >= self._since and self._overloaded(all_ended, all_throttled):
            self.proven = 0
            self._fall_to(max(1, self.limit // 2, min(in_flight, self.limit - 1)), now)
        elif now - self._since >= PROOF_SECONDS and saturated:
            self._judge(now, all_throttled / all_ended if all_ended else 0.0)
        return self.limit

    def _waits_too_long(self, now: float, ended: int, timed_out: int) -> bool:
        if now < self._deaf_until:
            self._lines.clear()
            return False
        self._lines.append((now, ended, timed_out))
        while self._lines[0][0] < now - self._timeout:
            self._lines.popleft()
        lost = sum(n for _, _, n in self._lines) if timed_out else 0
        return lost >= TIMEOUTS and lost > TIMED_OUT_SHARE * sum(n for _, n, _ in self._lines)

    def _overloaded(self, ended: int, throttled: int) -> bool:
        """At a level that is not above a proven one."""
        return throttled >= 5 and throttled > (COLLAPSE_SHARE if self.proven else FIRST_LEVEL_SHARE) * max(ended, 1)

    def _judge(self, now: float, throttled_share: float) -> None:
        """A level was held for PROOF_SECONDS."""
        lately = [n for t, _, _, n in self._seen if t >= now - PROOF_SECONDS / 2]
        in_service = sum(lately) / len(lately)
        if self.proven and self.limit > self.proven and in_service < self._in_service + (self.limit - self.proven) / 2:
            if throttled_share:  # without any, the tasks have just not come to use it yet
                self._fall_to(self.proven, now)
            return
        self.proven, self._in_service, self._stray_share = self.limit, in_service, throttled_share
        if self.limit < self.maximum and now >= self._not_before:
            self.limit = min(self.maximum, self.limit + max(self._step, self._least_step()))
            self._step *= 2
            self._not_before = now + self._pause
            self._restart(now)

    def _least_step(self) -> int:
        return max(1, self.limit // 20)

    def _fall_to(self, level: int, now: float) -> None:
        self._step = max(1, (self.limit - level) // 4)
        self.limit = level
        self._not_before = now + PROBE_PAUSE
        self._restart(now + SETTLE_SECONDS)

    def _restart(self, since: float) -> None:
        self._since = since
        self._seen.clear()


def fair_shares(limit: int, wants: dict[str, int]) -> dict[str, int]:
    """Max-min fair: no task gets more than it wants, and the others share what one leaves. Sums to min(limit, sum of wants)."""
    shares: dict[str, int] = {}
    left = limit
    # smallest wish first; among equals by name, so that a remainder stays where it is
    order = sorted(wants, key=lambda task: (wants[task], task))
    for index, task in enumerate(order):
        even = left // (len(order) - index)
        shares[task] = min(wants[task], even)
        left -= shares[task]
    return shares
