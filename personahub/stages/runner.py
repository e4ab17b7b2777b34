"""The one runner: it drives a stage's rounds, buys each batch, parses what was answered, inserts it, and records what the stage did."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub import embeddings, figures, inference
from personahub.embeddings import VectorBatch
from personahub.errors import Interrupted, PersonahubError
from personahub.inference import PROBE, PurchaseResult, RequestBatch
from personahub.llm.embeddings import key_of
from personahub.stages.stage import Batch, Counts, Rounds, RunStage, Stage
from personahub.storage.hub import Hub

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageResult:
    """What one stage did. transient: calls that failed transiently and are missing still. utilisation: see `figures.Spent`."""

    stage: str
    counts: dict[str, int]
    seconds: float
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = 0.0
    transient: int = 0
    utilisation: float | None = None
    utilisation_by_model: Mapping[str, float] = field(default_factory=dict)


def run_stage(hub: Hub, stage: Stage) -> Iterator[StageResult]:
    """Run a stage, and the stages that it asks for in between: a result each. Raises what ended one, after it was committed."""
    rounds = _after_finish(hub, stage)
    try:
        while True:
            with recorded(hub, stage.name) as entry:
                end = drive(hub, stage, rounds, entry.counts)
                if not isinstance(end, RunStage):
                    _add(entry.counts, end or {})
            if entry.result is not None:
                yield entry.result
            if not isinstance(end, RunStage):
                return
            yield from run_stage(hub, end.stage)
    finally:
        rounds.close()


def _after_finish(hub: Hub, stage: Stage) -> Rounds:
    finish(hub, stage)
    return (yield from stage.rounds(hub))


def finish(hub: Hub, stage: Stage) -> None:
    """Insert what a run that was killed between two tables was about to insert."""
    if stage.finish is not None:
        stage.finish(hub)
    elif stage.split is not None:
        held = hub.store.held(stage.name)
        if held is not None:
            _insert_held(hub, stage, held)


def insert_parsed(hub: Hub, stage: Stage, parsed: DataFrame) -> dict[str, int]:
    """PARSED -> how many rows each of the stage's tables had not.

    Tables have no common commit: until all are written, the rows are held for the next run.
    """
    return _insert_held(hub, stage, hub.store.hold(parsed, stage.name))


def insert_all(hub: Hub, tables: Sequence[str], rows: Sequence[DataFrame]) -> dict[str, int]:
    """`rows`, which lie in files: how many of them each table had not."""
    return {name: hub.store.insert_new(new, name, stored=True) for name, new in zip(tables, rows, strict=True)}


@dataclass
class Recorded:
    """counts: what the block fills; result: set at its end, None where it counted nothing."""

    counts: dict[str, int] = field(default_factory=dict)
    result: StageResult | None = None


@contextmanager
def recorded(hub: Hub, stage: str) -> Iterator[Recorded]:
    """Write a row of `runs` for what is done inside, however it ends; none where it counts nothing and does not fail."""
    since, began, entry, status = datetime.now(timezone.utc), time.monotonic(), Recorded(), "done"
    try:
        yield entry
        hub.store.compact()
    except BaseException as error:
        status = type(error).__name__
        raise
    finally:
        if entry.counts or status != "done":
            try:
                entry.result = _result(hub, stage, entry.counts, status, since, time.monotonic() - began)
                _write_run(hub, entry.result, status)
            except Exception as error:  # the error that ended the stage must reach the user
                if status == "done":
                    raise
                log.warning("no row of `runs` was written: %s", error)


def drive(hub: Hub, stage: Stage, rounds: Rounds, counts: dict[str, int]) -> Any:
    """Perform what `rounds` yields, up to its end or to another stage. Returns what it returns, or the RunStage."""
    reply: Any = None
    while True:
        try:
            asked = rounds.send(reply)
        except StopIteration as end:
            return end.value
        if isinstance(asked, RunStage):
            return asked
        reply = _perform(hub, stage, asked, counts)


def _perform(hub: Hub, stage: Stage, batch: Batch, counts: dict[str, int]) -> PurchaseResult:
    if isinstance(batch, VectorBatch):
        result = embeddings.buy(hub, batch)
        _add(counts, {"vectors": result.calls - result.failed})
        return result
    scratch = f"{stage.name}.requests.{batch.purpose.replace(' ', '-')}"
    # written once: bought from, and parsed from
    batch = replace(batch, requests=hub.store.materialise(batch.requests, scratch))
    try:
        return _buy_and_parse(hub, stage, batch, counts)
    finally:
        hub.store.drop_scratch(scratch)


def _buy_and_parse(hub: Hub, stage: Stage, batch: RequestBatch, counts: dict[str, int]) -> PurchaseResult:
    """What was bought before a budget or an endpoint ended the purchase is parsed, too."""
    try:
        result = inference.buy(hub, batch)
    except Interrupted:
        raise
    except PersonahubError:
        if batch.parse:
            _parse(hub, stage, batch, counts)
        raise
    counts.update(batch.counts)
    _add(counts, {"calls": result.calls, "reused": result.reused, "failed": result.failed})
    if result.stop_reason is not None:
        hub.ui.say(f"{stage.name}: {result.stop_reason}: the other {result.skipped} requests are not asked")
        _add(counts, {"unasked": result.skipped})
    if batch.parse:
        _parse(hub, stage, batch, counts)
    return result


def _parse(hub: Hub, stage: Stage, batch: RequestBatch, counts: dict[str, int]) -> None:
    completions = hub.store.table("completions")
    unparsed = _unparsed(hub, stage, batch.requests)
    answered = unparsed.join(completions.where("final"), on="completion_id", how="left_semi")
    if answered.isEmpty():  # as when a stage is run once more
        _add(counts, dict.fromkeys(stage.writes, 0))
        return
    assert stage.parse is not None
    parsed = stage.parse(hub, replace(batch, requests=unparsed), completions)
    if stage.review is not None:
        parsed = drive(hub, stage, stage.review(hub, parsed), counts)
    _add(counts, insert_parsed(hub, stage, parsed))


def _unparsed(hub: Hub, stage: Stage, requests: DataFrame) -> DataFrame:
    """The requests whose pair (source, completion) has led to no row yet, neither made nor rejected."""
    assert stage.parsed is not None
    table, source = stage.parsed
    made = hub.store.table(table).select(F.col(source).alias("source_id"), "completion_id")
    rejects = hub.store.table("rejects").where(F.col("stage") == stage.name).select("source_id", "completion_id")
    return requests.join(made.unionByName(rejects).distinct(), on=["source_id", "completion_id"], how="left_anti")


def _insert_held(hub: Hub, stage: Stage, held: DataFrame) -> dict[str, int]:
    assert stage.split is not None
    counts = insert_all(hub, stage.writes, stage.split(held, hub.run_id))
    hub.store.release(stage.name)
    return counts


def _add(counts: dict[str, int], more: Counts) -> None:
    for name, count in more.items():
        counts[name] = counts.get(name, 0) + count


def _result(hub: Hub, stage: str, counts: dict[str, int], status: str, since: datetime, seconds: float) -> StageResult:
    """With what both ledgers booked to the stage since then: one run can enter a stage several times."""
    asked = (F.col("stage") == stage) | ((F.col("stage") == PROBE) & (F.col("purpose") == stage))
    of_stage = (F.col("run_id") == hub.run_id) & (F.col("created_at") >= since) & asked
    completions, embeddings = (hub.store.table(name).where(of_stage) for name in ("completions", "embeddings"))
    # a batch holds no places
    models = [one for model in hub.config.models.values() if not model.batch.enabled for one in model.pool]
    places = {(name, model.base_url): model.max_concurrent_requests for model in models for name in (model.model, key_of(model))}
    spent = figures.spent(completions, embeddings, places)
    if status != "done":  # a stage that was stopped has not counted what it bought
        counts = {**spent.units, **counts}
    return StageResult(
        stage,
        counts,
        seconds,
        spent.prompt_tokens,
        spent.completion_tokens,
        spent.cost_usd,
        transient=counts.get("failed", 0),
        utilisation=spent.utilisation,
        utilisation_by_model=spent.utilisation_by_model,
    )


def _write_run(hub: Hub, result: StageResult, status: str) -> None:
    row = (
        hub.run_id,
        result.stage,
        hub.config.fingerprint,
        result.counts,
        result.prompt_tokens,
        result.completion_tokens,
        result.cost_usd,
        result.seconds,
        status,
        datetime.now(timezone.utc),
        result.utilisation,
        dict(result.utilisation_by_model),
    )
    hub.store.record([row], "runs")
