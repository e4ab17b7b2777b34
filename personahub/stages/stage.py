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
from personahub.prompts import Prompt
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
class ModelUse:
    """A model that a stage may ask: its name under `models`, whether it gives answers or vectors, and the prompts that it answers.

    characters: of the longest text that the settings let into a prompt; 0 where they set no bound.
    """

    alias: str
    answers: bool = True
    prompts: tuple[Prompt, ...] = ()
    characters: int = 0


@dataclass(frozen=True)
class TextColumns:
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
    """One stage of the pipeline. Only the first three fields are required.

    name: in the command line, the ledgers and the docs.
    about: one line of help.
    rounds(hub): yields batches, or a RunStage; returns counts for the stage's result beyond those of its purchases, or None.
    writes: the tables of `split`'s frames.
    parse(hub, batch, completions): the requests of a batch and the ledger -> a frame of parsed rows, pure. None: the stage buys no answers.
    split(parsed, run_id): parsed rows -> a frame for each of `writes`, pure.
    parsed: (table, column of the source): a pair (source, completion) in it, or in `rejects`, is parsed already.
    review(hub, parsed): rounds that judge parsed rows before they are inserted, and return them. None: no review.
    finish(hub): inserts what a killed run held. None: the held rows of `split`.
    check(config): raises ConfigError or InputError for what can be known to be wrong before anything starts.
    models(config): the models that it may ask, a ModelUse each.
    estimate(hub): what it would buy now. None: its first batch.
    bound(hub, incoming): what it buys at most where `incoming` personas more may come, and how many come of it. None: `estimate`.
    preview(hub, n): rounds that return a batch of n requests or more. None: the first batch.
    progress(hub): sentences for `status` about what a run would still do.
    texts: the columns that `forget --purge` blanks.
    tables: those that only this stage knows, by name.
    """

    name: str
    about: str
    rounds: Callable[[Hub], Rounds]
    writes: tuple[str, ...] = ()
    parse: Callable[[Hub, RequestBatch, DataFrame], DataFrame] | None = None
    split: Callable[[DataFrame, str], tuple[DataFrame, ...]] | None = None
    parsed: tuple[str, str] | None = None
    review: Callable[[Hub, DataFrame], Rounds] | None = None
    finish: Callable[[Hub], None] | None = None
    check: Callable[[Config], Any] = nothing
    models: Callable[[Config], Iterable[ModelUse]] = nothing
    estimate: Callable[[Hub], list[Estimate]] | None = None
    bound: Callable[[Hub, int], tuple[list[Estimate], int]] | None = None
    preview: Callable[[Hub, int], Rounds] | None = None
    progress: Callable[[Hub], Iterable[str]] = nothing
    texts: tuple[TextColumns, ...] = ()
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
