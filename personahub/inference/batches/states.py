"""Where a batch is on its way, and what holds there: submitting -> running -> ended -> collected, or submitting -> not_made.

Pure: no engine, no endpoint.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

SUBMITTING = "submitting"  # its file is there, and its batch may be: the row is written before the batch is asked for
RUNNING = "running"  # it is at the endpoint, whose id for it is known
ENDED = "ended"  # the endpoint does nothing more; what it has answered is not all in the ledger yet
COLLECTED = "collected"  # all of that is
NOT_MADE = "not_made"  # the endpoint never had it, and nothing was bought
OPEN = frozenset({SUBMITTING, RUNNING, ENDED})  # what is in such a batch counts as asked

ENDED_THERE = frozenset({"completed", "failed", "expired", "cancelled"})  # by the endpoint; each may carry paid answers
TOO_MANY_TOKENS = "token_limit_exceeded"  # more wait in all batches of a model than the endpoint allows

MIN_PAUSE, MAX_PAUSE = 0.5, 60.0  # seconds between two looks


@dataclass(frozen=True, slots=True)
class BatchState:
    """A row of `batches`. created_at: microseconds since the epoch, when this state began; submitted_at: when the first one did."""

    batch_id: str
    step: int
    state: str
    stage: str
    purpose: str
    model: str
    base_url: str
    requests: int
    prompt_tokens: int
    reserved_usd: float | None
    prompts: str
    provider_file_id: str | None
    provider_batch_id: str | None
    provider_status: str | None
    completed: int
    failed: int
    error: str | None
    run_id: str
    created_at: int
    submitted_at: int

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    @property
    def short(self) -> str:
        """For people."""
        return self.batch_id[:8]

    @property
    def age_s(self) -> float:
        return max(0.0, time.time() - self.submitted_at / 1e6)

    def moved(self, state: str, **changes: Any) -> "BatchState":
        """The next row."""
        return replace(self, state=state, step=self.step + 1, created_at=int(time.time() * 1e6), **changes)


def latest(rows: Iterable[BatchState]) -> list[BatchState]:
    """The row of the highest step of each batch, the first submitted first; `submitted_at` from the first row of each."""
    rows = list(rows)
    first: dict[str, int] = {}
    last: dict[str, BatchState] = {}
    for row in sorted(rows, key=lambda row: row.step):
        first.setdefault(row.batch_id, row.created_at)
        last[row.batch_id] = row
    return sorted(
        (replace(row, submitted_at=first[row.batch_id]) for row in last.values()),
        key=lambda row: (row.submitted_at, row.batch_id),
    )


def pause(since_news: float) -> float:
    """Seconds until the next look, where there was no news for so many: a twentieth of them."""
    return min(MAX_PAUSE, max(MIN_PAUSE, since_news / 20))
