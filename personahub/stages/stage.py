"""What a stage is: a value. The runner executes any of them; every command iterates over the registry (`personahub.stages.STAGES`).

A stage that buys yields its batches from `rounds`, a generator. When it is resumed, the batch is in the ledger: what comes next may read
the tables. A killed run starts the generator anew and replays it against the ledger, so what it yields must follow from the tables alone;
a choice that later rows would change is frozen in `requests` before it is asked.
"""

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pyspark.sql import DataFrame

from personahub.config import Config
from personahub.embeddings import VectorBatch
from personahub.inference import PurchaseResult, RequestBatch
from personahub.schemas import Table
from personahub.storage.hub import Estimate, Hub

Batch = RequestBatch | VectorBatch
Counts = Mapping[str, int]


@dataclass(frozen=True)
class RunStage:
    """What `rounds` yields to have another stage run before it goes on; each has a result and a row of `runs` of its own."""

    stage: "Stage"


Rounds = Generator[Batch | RunStage, PurchaseResult, Any]


@dataclass(frozen=True)
class Asked:
    """A model that a stage may ask: its name under `models`, and whether it gives answers or vectors."""

    alias: str
    answers: bool = True


@dataclass(frozen=True)
class Texts:
    """Columns of a table that hold text of a source, for `forget --purge`. of: what the column `key` names."""

    table: str
    key: str
    columns: tuple[str, ...]
    of: Literal["source", "completion", "example"] = "source"


def nothing(*_: Any) -> Any:
    """No check, no models, no progress."""
    return ()


@dataclass(frozen=True)
class Stage:
    """One stage of the pipeline.

    name: in the CLI, the ledgers and the docs; about: one line of help. reads, writes: tables.
    rounds(hub): yields batches; returns counts for the stage's result, if it has more than those of its purchases.
    parse(hub, batch, completions): the requests of a batch and the ledger -> PARSED rows, pure; split(parsed, run_id): the rows of each of
    `writes`; parsed: the table and the column of the source by which a (source, completion) is known to be parsed.
    review(hub, parsed): rounds that judge parsed rows before they are inserted; returns the rows.
    finish(hub): inserts what a killed run held; by default the held rows of `split`.
    check(config): raises ConfigError. models(config): the models that it may ask. tables: those that only this stage knows.
    estimate(hub): what it would buy now, by default its first batch; bound(hub, incoming): at most, where so many more personas may come,
    and how many personas at most come of it. preview(hub, n): rounds that return a batch with n requests or more.
    progress(hub): sentences for `status` about what a run would do. texts: see `Texts`.
    """

    name: str
    about: str
    rounds: Callable[[Hub], Rounds]
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    parse: Callable[[Hub, RequestBatch, DataFrame], DataFrame] | None = None
    split: Callable[[DataFrame, str], tuple[DataFrame, ...]] | None = None
    parsed: tuple[str, str] | None = None
    review: Callable[[Hub, DataFrame], Rounds] | None = None
    finish: Callable[[Hub], None] | None = None
    check: Callable[[Config], Any] = nothing
    models: Callable[[Config], Iterable[Asked]] = nothing
    estimate: Callable[[Hub], list[Estimate]] | None = None
    bound: Callable[[Hub, int], tuple[list[Estimate], int]] | None = None
    preview: Callable[[Hub, int], Rounds] | None = None
    progress: Callable[[Hub], Iterable[str]] = nothing
    texts: tuple[Texts, ...] = ()
    tables: Mapping[str, Table] = field(default_factory=dict)

    @property
    def buys_answers(self) -> bool:
        return self.parse is not None


def without_purchases(work: Callable[[Hub], Counts]) -> Callable[[Hub], Rounds]:
    """A function that buys nothing, as rounds."""

    def rounds(hub: Hub) -> Rounds:
        return work(hub)
        yield

    return rounds
