"""Requests or tokens per minute. Arithmetic on a clock that the caller passes in."""


class Pace:
    """A token bucket under a sliding minute: in any 60 s no more than `per_minute` leave, even if a permit waits `lag` s for its use."""

    def __init__(self, per_minute: int, now: float, lag: float = 1.0) -> None:
        self.burst = max(1.0, per_minute * 0.01)
        self.rate = max(per_minute - self.burst, per_minute * 0.5) / (60.0 + lag)
        self.level = self.burst
        self._at = now

    def available(self, now: float) -> float:
        """What may leave now; negative after an underestimate."""
        self.level = min(self.burst, self.level + max(0.0, now - self._at) * self.rate) if self.level < self.burst else self.level
        self._at = now
        return self.level

    def take(self, amount: float) -> None:
        self.level -= amount
