"""Requests or tokens per minute. Arithmetic on a clock that the caller passes in."""

import math
from collections import deque
from dataclasses import dataclass

MINUTE = 60.0


@dataclass(slots=True)
class Permits:
    """Left together: `count` are not settled yet; `amount` is what all of them took, as far as it is known."""

    at: float
    count: int
    each: float
    amount: float


class TokenBucket:
    """A token bucket, for an even pace, under a sliding minute: in any 60 s no more than `per_minute` leave, even if a permit waits
    `lag` s for its use.

    What one permit takes is known only when it is settled. The bucket gets the difference back then, and would pay out what was
    reserved long ago: a minute after slow answers would hold more than the limit. So each permit also counts when it *left*.
    """

    def __init__(self, per_minute: int, now: float, lag: float = 1.0) -> None:
        self.per_minute = per_minute
        self.burst = max(1.0, per_minute * 0.01)
        self.rate = max(per_minute - self.burst, per_minute * 0.5) / (MINUTE + lag)
        self.level = self.burst
        self.held = 0.0  # by the permits of the last minute
        self._span = MINUTE + lag
        self._left: deque[Permits] = deque()
        self._at = now

    def fits(self, now: float, each: float) -> tuple[int, float]:
        """How many permits of `each` may leave now, and in how many seconds to ask again if none."""
        self.advance(now)
        # what is in flight counts as expected: the burst is kept back for what it takes more
        free = math.floor((self.per_minute - self.burst - self.held) / each)
        if not self._left:
            free = max(1, free)  # one that is larger than the whole minute, too, must leave some time
        if free < 1:
            return 0, self._left[0].at + self._span - now
        # one that is larger than the whole burst may leave a full bucket, which then goes below zero
        by_level = math.floor(self.level / each) if self.level >= each else int(self.level >= self.burst)
        return min(free, by_level), (min(each, self.burst) - self.level) / self.rate

    def advance(self, now: float) -> None:
        """Time first: what is given back must not fill the bucket before it."""
        if self.level < self.burst:
            self.level = min(self.burst, self.level + max(0.0, now - self._at) * self.rate)
        self._at = now
        while self._left and self._left[0].at <= now - self._span:
            self.held -= self._left.popleft().amount

    def take(self, count: int, each: float) -> Permits:
        permits = Permits(self._at, count, each, 0.0)
        self._left.append(permits)
        self._add(permits, count * each)
        return permits

    def settle(self, taken: deque[Permits], count: int, amount: float) -> None:
        """`count` of `taken` took `amount` together: the oldest, as it is not known which."""
        each = amount / count if count else 0.0
        while count and taken:
            permits = taken[0]
            ended = min(count, permits.count)
            permits.count -= ended
            self._add(permits, ended * (each - permits.each))
            count -= ended
            if not permits.count:
                taken.popleft()
        self.level -= count * each  # reported twice, as where a report arrived and its answer did not

    def give_back(self, taken: deque[Permits], count: int) -> None:
        """The `count` newest were not used."""
        while count and taken:
            permits = taken[-1]
            unused = min(count, permits.count)
            permits.count -= unused
            self._add(permits, -unused * permits.each)
            count -= unused
            if not permits.count:
                taken.pop()

    def _add(self, permits: Permits, amount: float) -> None:
        self.level -= amount
        permits.amount += amount
        if permits.at > self._at - self._span:
            self.held += amount
