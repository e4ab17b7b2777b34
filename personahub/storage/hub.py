"""The opened hub: what a stage works with, and how it talks to its user. `pipeline.open_hub` opens one."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

from pyspark.sql import SparkSession

from personahub.config import Config
from personahub.storage.delta import Store
from personahub.storage.lease import Lease
from personahub.text import printable


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a stage would buy for one purpose.

    calls: requests, exact unless `note` says otherwise; reused: distinct requests that the ledger answers already; tokens are sampled; cost
    in dollars, None where a price is unknown. texts: for vectors, how many texts; `calls` is then about how many requests they fill.
    """

    stage: str
    purpose: str
    calls: int
    reused: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = 0.0
    model: str = ""
    base_url: str = ""
    note: str = ""
    texts: int = 0

    @property
    def units(self) -> int:
        """Answers or vectors: what a purchase counts."""
        return self.texts or self.calls


class UserInterface(Protocol):
    """Callbacks to the user: confirm a purchase, show its progress, print a line, leave at once."""

    def confirm(self, estimates: Sequence[Estimate]) -> bool: ...

    def watch(self, stage: str, total: int, snapshot: Callable[[], Any]) -> AbstractContextManager[Any]: ...

    def say(self, text: str) -> None: ...

    def leave(self) -> None:
        """At a second Ctrl-C: ends the process, where it is the run's own; else returns, and what runs is interrupted."""


class Silent:
    """A user interface for jobs and notebooks: buys without asking, prints what must be known."""

    def confirm(self, estimates: Sequence[Estimate]) -> bool:
        return True

    def watch(self, stage: str, total: int, snapshot: Callable[[], Any]) -> AbstractContextManager[Any]:
        return nullcontext()

    def say(self, text: str) -> None:
        print(printable(text), flush=True)  # noqa: T201

    def leave(self) -> None:
        """A notebook's kernel, or other code, lives on."""


class Consent:
    """What the user has agreed to buy in this run: answers and vectors that are left, by stage. Each purchase draws on it."""

    def __init__(self) -> None:
        self._left: Counter[tuple[str, bool]] = Counter()

    def agree(self, estimates: Sequence[Estimate]) -> None:
        for one in estimates:
            self._left[one.stage, bool(one.texts)] += one.units

    def covers(self, estimate: Estimate) -> bool:
        """Is this purchase within what is left? If so, draw it."""
        key = estimate.stage, bool(estimate.texts)
        if estimate.units > self._left[key]:
            return False
        self._left[key] -= estimate.units
        return True


@dataclass(frozen=True)
class Hub:
    """What a stage works with. `lease` is there only where the hub was opened to spend."""

    spark: SparkSession
    store: Store
    config: Config
    run_id: str
    ui: UserInterface
    lease: Lease | None = None
    consent: Consent = field(default_factory=Consent)

    @property
    def can_spend(self) -> bool:
        return self.lease is not None
