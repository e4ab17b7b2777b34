"""How many requests an endpoint takes at once, learned from what it serves. Arithmetic on a clock that the caller passes in."""

from collections import deque

PROOF_SECONDS = 1.0  # a level held this long, in full use and without overload, is proven
PROBE_PAUSE = 4.0  # seconds between a probe that failed and the next one
START = 64  # the first level; more is doubled into
FIRST_LEVEL_SHARE = 0.10  # share of throttled requests that speaks of overload while nothing is proven yet
COLLAPSE_SHARE = 0.25  # ... and at a proven level: the endpoint has shrunk


class AdaptiveLimit:
    """The concurrency limit, between 1 and `maximum` (PAID_STEP 8).

    A 429 or 503 at a level that was *proven* (held in full use without overload) is stray: the limit stands. Above it, while a higher
    level is being tried, it is overload: the limit goes back to what was proven. Steps double while they succeed and start again at one.
    """

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self.limit = min(maximum, START)
        self.proven = 0
        self._step = self.limit
        self._since: float | None = None
        self._not_before = 0.0
        self._stray_share = 0.0
        self._seen: deque[tuple[float, int, int]] = deque()

    def observe(self, now: float, ended: int, throttled: int, in_flight: int, saturated: bool) -> int:
        """Take in what ended since the last call (`throttled` of them by 429 or 503) and return the limit.

        `in_flight`: requests in service now, over all tasks. `saturated`: as many as the limit allows are wanted.
        """
        if self._since is None:
            self._since = now
        self._seen.append((now, ended, throttled))
        while self._seen and self._seen[0][0] < now - 2 * PROOF_SECONDS:
            self._seen.popleft()
        all_ended = sum(n for t, n, _ in self._seen if t >= self._since)
        all_throttled = sum(n for t, _, n in self._seen if t >= self._since)
        if self.proven and self.limit > self.proven:
            if all_throttled > 2 + 3 * self._stray_share * all_ended:
                self._fall_to(self.proven, now)
                return self.limit
        elif throttled and all_throttled >= 5:
            bound = COLLAPSE_SHARE if self.proven else FIRST_LEVEL_SHARE
            if all_throttled > bound * max(all_ended, 1):
                self.proven = 0
                self._fall_to(max(1, self.limit // 2, min(in_flight, self.limit - 1)), now)
                return self.limit
        if now - self._since >= PROOF_SECONDS and saturated:
            self.proven = self.limit
            self._stray_share = all_throttled / all_ended if all_ended else 0.0
            if self.limit < self.maximum and now >= self._not_before:
                self.limit = min(self.maximum, self.limit + self._step)
                self._step *= 2
                self._restart(now)
        return self.limit

    def _fall_to(self, level: int, now: float) -> None:
        self.limit = level
        self._step = 1
        self._not_before = now + PROBE_PAUSE
        self._restart(now)

    def _restart(self, now: float) -> None:
        self._since = now
        self._seen.clear()


def fair_shares(limit: int, wants: dict[str, int]) -> dict[str, int]:
    """Max-min fair: nobody gets more than it wants, and what one leaves is shared by the others. Sums to min(limit, sum of wants)."""
    shares: dict[str, int] = {}
    left = limit
    # smallest wish first; among equals by name, so that a remainder stays where it is
    order = sorted(wants, key=lambda task: (wants[task], task))
    for index, task in enumerate(order):
        even = left // (len(order) - index)
        shares[task] = min(wants[task], even)
        left -= shares[task]
    return shares
