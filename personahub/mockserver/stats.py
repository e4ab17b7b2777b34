"""What the mock server counts: requests, sales, faults, and how busy its places were. One clock: `time.monotonic`."""

from collections import Counter
from hashlib import blake2b
from typing import Any

from personahub.mockserver.profiles import Billed

MINUTE = 60.0


class Minute:
    """When how much happened, and the most that any 60 s held. A request is billed when it ends and counts when it arrived."""

    def __init__(self) -> None:
        self.entries: list[tuple[float, int]] = []

    def add(self, at: float, amount: int) -> None:
        self.entries.append((at, amount))

    def busiest(self) -> int:
        self.entries.sort()  # nearly sorted already
        most = held = oldest = 0
        for at, amount in self.entries:
            held += amount
            while self.entries[oldest][0] <= at - MINUTE:
                held -= self.entries[oldest][1]
                oldest += 1
            most = max(most, held)
        return most

    def by_minute(self) -> list[int]:
        """What each whole minute held, counted back from the last arrival; the latest comes last."""
        self.entries.sort()
        if not self.entries:
            return []
        first, last = self.entries[0][0], self.entries[-1][0]
        held = [0] * int((last - first) / MINUTE)
        for at, amount in self.entries:
            back = int((last - at) / MINUTE)
            if back < len(held):
                held[-1 - back] += amount
        return held


class Stats:
    """Counters since the start or the last reset. Bodies are remembered by a 64-bit hash only.

    `sold` counts good completions that the model ran to the end, whether or not the client still listened: that is what a
    provider bills. `answers` counts those that were sent whole. `bought_twice` counts sales of a body that had been sold before.
    `texts_sold` counts the texts whose vectors were sold, `texts_sold_twice` those that had been sold before (same model,
    same dimensions).
    `billed` adds to `sold` the completions that a fault spoiled after the model had run. `abandoned` counts clients that left.
    Tokens are those of all that was billed; `told` has those of the bodies that the client knows all of: each answer
    came, and told its usage.
    """

    def __init__(self) -> None:
        self.requests = self.answers = self.sold = self.billed = self.bought_twice = self.abandoned = 0
        self.tokens = Billed()
        self.tokens_of_bodies: dict[int, Billed] = {}
        self.untold_bodies: set[int] = set()
        self.by_status: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()  # capacity, rpm, key, request: said no on purpose, not by a fault
        self.attempts: dict[int, int] = {}
        self.sold_bodies: set[int] = set()
        self.texts_sold = self.texts_sold_twice = 0
        self.sold_texts: set[bytes] = set()
        self.in_flight = self.max_in_flight = self.busy = self.max_busy = 0
        self.busy_seconds = self.busy_seconds_to_last_request = 0.0
        self.first_request: float | None = None
        self.last_request: float | None = None
        self.last_answer: float | None = None
        self._changed = 0.0
        self.minute_requests, self.minute_tokens = Minute(), Minute()

    def arrive(self, now: float) -> None:
        self.requests += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        if self.first_request is None:
            self.first_request = now
        self.last_request = now
        self.occupy(now, 0)
        self.busy_seconds_to_last_request = self.busy_seconds
        self.minute_requests.add(now, 1)

    def occupy(self, now: float, change: int) -> None:
        """`change` places more are busy from now on."""
        self.busy_seconds += self.busy * (now - self._changed)
        self._changed = now
        self.busy += change
        self.max_busy = max(self.max_busy, self.busy)

    def attempt(self, body: int) -> int:
        """How often this body was admitted before."""
        before = self.attempts.get(body, 0)
        self.attempts[body] = before + 1
        return before

    def bill(self, arrived: float, body: int, billed: Billed, told: bool) -> None:
        """told: the client got to know these tokens."""
        self.billed += 1
        self.tokens += billed
        self.minute_tokens.add(arrived, billed.prompt + billed.completion)
        self.tokens_of_bodies[body] = self.tokens_of_bodies.get(body, Billed()) + billed
        if not told:
            self.untold_bodies.add(body)

    def sell(self, now: float, body: int, delivered: bool) -> None:
        self.sold += 1
        self.bought_twice += body in self.sold_bodies
        self.sold_bodies.add(body)
        if delivered:
            self.answers += 1
            self.last_answer = now
        else:
            self.abandoned += 1

    def sell_vectors(self, body: dict[str, Any]) -> None:
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        for text in texts:
            name = blake2b(f"{body.get('model')}/{body.get('dimensions')}/{text}".encode("utf-8", "replace"), digest_size=8)
            self.texts_sold += 1
            self.texts_sold_twice += name.digest() in self.sold_texts
            self.sold_texts.add(name.digest())

    def reset(self, now: float) -> "Stats":
        """A new count that still knows which requests are open. Attempts start anew, so the same faults come again."""
        fresh = Stats()
        fresh.in_flight = fresh.max_in_flight = self.in_flight
        fresh.busy = fresh.max_busy = self.busy
        fresh._changed = now
        return fresh

    def snapshot(self, now: float, capacity: int) -> dict[str, Any]:
        """JSON-ready. `utilisation` is busy places over all places from the first request to now or the last answer;
        `body_utilisation` the same up to the last request's arrival. `max_requests_per_minute` and `max_tokens_per_minute` are
        what arrived in the busiest 60 s, at whatever second these began; `requests_by_minute` and `tokens_by_minute` what each
        whole minute before the last arrival held. Tokens are the billed ones, of prompts and answers.
        """
        self.occupy(now, 0)
        result: dict[str, Any] = {name: value for name, value in vars(self).items() if isinstance(value, int | float | None)}
        del result["_changed"]
        told = Billed()
        for body, billed in self.tokens_of_bodies.items():
            told += billed if body not in self.untold_bodies else Billed()
        result |= {
            "simulated": True,
            "now": now,
            "capacity": capacity,
            "distinct_bodies": len(self.attempts),
            **self.tokens.count(),
            "told": told.count(),
            "by_status": dict(self.by_status),
            "faults": dict(self.faults),
            "refused": dict(self.refused),
            "max_requests_per_minute": self.minute_requests.busiest(),
            "max_tokens_per_minute": self.minute_tokens.busiest(),
            "requests_by_minute": self.minute_requests.by_minute(),
            "tokens_by_minute": self.minute_tokens.by_minute(),
            "utilisation": self._share(self.busy_seconds, now if self.in_flight else self.last_answer, capacity),
            "body_utilisation": self._share(self.busy_seconds_to_last_request, self.last_request, capacity),
        }
        return result

    def _share(self, busy_seconds: float, end: float | None, capacity: int) -> float | None:
        if self.first_request is None or end is None or end <= self.first_request:
            return None
        return busy_seconds / (capacity * (end - self.first_request))
