"""A call on its way to its outcome."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from personahub.llm.retry import Decision, Tries
from personahub.llm.types import Attempt, ChatCall, EmbeddingCall, Outcome, Usage


@dataclass(slots=True)
class TrackedCall:
    """A call with its tries and what all of them were billed."""

    call: ChatCall | EmbeddingCall
    tries: Tries = field(default_factory=Tries)
    first_send: float | None = None  # on the deadline's clock
    messages: list[dict[str, str]] | None = None  # of the second try, which shows the model its error
    usage: Usage = field(default_factory=Usage)
    endpoint: int = 0  # where it was sent last
    not_before: dict[int, float] | None = None  # endpoint -> when it may be sent there again

    def avoid(self, endpoint: int, until: float) -> None:
        """It goes to another endpoint first. until: on the clock of `may_go`."""
        self.not_before = (self.not_before or {}) | {endpoint: until}

    def may_go(self, endpoint: int, now: float) -> bool:
        """To this endpoint, now?"""
        return self.not_before is None or self.not_before.get(endpoint, 0.0) <= now

    def correct(self, attempt: Attempt) -> None:
        """The second try shows the model its answer and what was wrong with it."""
        if isinstance(self.call, ChatCall) and attempt.text and not attempt.withheld:
            wrong = f"That answer was not accepted: {attempt.message}. Answer again, with the corrected JSON only."
            said = [{"role": "assistant", "content": attempt.text}, {"role": "user", "content": wrong}]
            self.messages = [*self.call.messages, *said]

    def split(self, halves: Sequence[EmbeddingCall]) -> list["TrackedCall"]:
        """Its texts as several calls. What the whole was billed is booked to the last of them, once."""
        parts = [TrackedCall(half, Tries(requests=self.tries.requests)) for half in halves]
        parts[-1].usage = self.usage
        return parts

    def outcome(self, attempt: Attempt, decision: Decision) -> Outcome:
        return Outcome(
            call=self.call,
            final=decision.final,
            kind=decision.kind,
            text=attempt.text,
            finish_reason=attempt.finish_reason,
            message=attempt.message if decision.kind is not None else None,
            usage=self.usage,
            latency_s=attempt.latency_s,
            attempts=self.tries.requests,
            created_at=time.time(),
            vectors=attempt.vectors,
            endpoint=self.endpoint,
        )


class DeadlineClock:
    """Seconds, but those in which no endpoint was there: they count for no call's deadline."""

    def __init__(self) -> None:
        self._stood_still = 0.0
        self._still_since: float | None = None

    def now(self) -> float:
        return (time.monotonic() if self._still_since is None else self._still_since) - self._stood_still

    def stand_still(self, still: bool) -> None:
        now = time.monotonic()
        if still and self._still_since is None:
            self._still_since = now
        elif not still and self._still_since is not None:
            self._stood_still += now - self._still_since
            self._still_since = None
