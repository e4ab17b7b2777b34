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
    first_send: float | None = None
    messages: list[dict[str, str]] | None = None  # of the second try, which shows the model its error
    usage: Usage = field(default_factory=Usage)

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
        )
