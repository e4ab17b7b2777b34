"""One endpoint of a pool, as a task sees it: its client, what the task may send there, and what became of it since the last report."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from personahub.errors import ErrorKind
from personahub.llm.endpoint_health import DOWN_AFTER
from personahub.llm.retry import Decision
from personahub.llm.tracked_calls import TrackedCall
from personahub.llm.types import Attempt, Counts, EndpointGrant, EndpointReport


class Client(Protocol):
    async def attempt(self, call: Any, messages: list[dict[str, str]] | None = None) -> Attempt: ...


@dataclass(slots=True)
class Channel:
    """`weight`: the share of the requests that it gets where several have room."""

    index: int
    client: Client
    weight: float = 1.0
    grant: EndpointGrant = field(default_factory=EndpointGrant)
    starts: int = 0  # of the grant, left
    in_flight: int = 0
    held: int = 0  # permits kept back after a 429 until its wait is over
    since: Counts = field(default_factory=Counts)
    fatal: str | None = None
    fatal_kind: str | None = None
    down: str | None = None
    answered: bool = False  # the endpoint has answered a request of this purchase, of this task or another
    kept_back: list[tuple[TrackedCall, Attempt, Decision]] = field(default_factory=list)  # refused while it has not
    _down_in_a_row: int = 0

    @property
    def load(self) -> float:
        """The least is next."""
        return (self.in_flight + self.held + 1) / self.weight

    def take(self, grant: EndpointGrant) -> None:
        """What was started while the report travelled comes off the new grant."""
        self.grant, self.starts = grant, grant.starts - self.since.started

    def report(self) -> EndpointReport:
        """Of what `since` holds."""
        refusal = self.kept_back[0][1].message if self.kept_back else None
        return EndpointReport(self.in_flight, self.since, self.fatal, self.fatal_kind, refusal, self.down)

    def settle(self, attempt: Attempt, usd: float) -> None:
        """A request has ended."""
        since = self.since
        since.tokens += attempt.usage.prompt + attempt.usage.completion
        since.usd += usd
        if attempt.kind is not None:
            since.errors[attempt.kind.value] += 1
        if attempt.down:
            since.down += 1
            self.down = attempt.message
            self._down_in_a_row += 1
            if self._down_in_a_row >= DOWN_AFTER:
                self.starts = 0  # until the governor has heard of it
        elif attempt.kind is not ErrorKind.CONNECTION:  # what was lost on its way tells neither
            self._down_in_a_row = 0


def row_for(channel: Channel, again: deque[TrackedCall], new: deque[TrackedCall]) -> TrackedCall | None:
    """The next call to send there, taken out: first those that were tried already, unless they keep away from it for now."""
    now = time.monotonic() if again else 0.0
    for index, row in enumerate(again):
        if row.may_go(channel.index, now):
            del again[index]
            return row
    return new.popleft() if new else None


def may_go_elsewhere(row: TrackedCall, channel: Channel, channels: Sequence[Channel], answered: bool = False) -> bool:
    """To another endpoint of the pool, once that has room. answered: to one that has answered a request."""
    now = time.monotonic()
    others = [one for one in channels if one is not channel and (one.answered or not answered)]
    return any(row.may_go(other.index, now) for other in others)
