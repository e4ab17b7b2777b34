"""The only wiring: one function per stage = read, transform, buy, write, return counts."""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from personahub import documents, report, schemas, session, synthesis, text_to_persona
from personahub.buy import Buyer, Estimate, Order, buy, drain_journals, estimate, find_missing, lease_folder
from personahub.config import Config, Documents
from personahub.errors import ConfigError, Interrupted, PersonahubError, TransientFailures
from personahub.lease import Lease
from personahub.prompts import Prompt
from personahub.store import Store
from personahub.text import nearest


class Silent:
    """A user interface for jobs and notebooks: buys without asking, prints what must be known."""

    def confirm(self, estimate: Estimate) -> bool:
        return True

    def watch(self, stage: str, total: int, snapshot: Callable[[], Any]) -> Any:
        return nullcontext()

    def say(self, text: str) -> None:
        print(text, flush=True)  # noqa: T201


@dataclass(frozen=True)
class Hub:
    """What a stage works with. `lease` is there only where the hub was opened to spend."""

    spark: SparkSession
    store: Store
    config: Config
    run_id: str
    ui: Buyer
    lease: Lease | None = None


@dataclass(frozen=True)
class StageResult:
    """What one stage did. `transient`: calls that failed in passing and are missing still."""

    stage: str
    counts: dict[str, int]
    seconds: float
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = 0.0
    transient: int = 0


@dataclass(frozen=True)
class Preview:
    """One request as it is sent, and what came back."""

    source_id: str
    messages: list[dict[str, str]]
    text: str | None
    error: str | None
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None


@contextmanager
def open_hub(config: Config, ui: Buyer | None = None, *, spend: bool = False, verbose: bool = False) -> Iterator[Hub]:
    """The hub of `config`. With `spend` its lease is held (RootInUse) and what a run that died has paid for is saved first."""
    ui = ui or Silent()
    run_id = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
    with Lease(lease_folder(config), run_id) if spend else nullcontext() as lease:
        spark = session.open_session(config, verbose=verbose)
        store = Store(spark, config)
        hub = Hub(spark, store, config, run_id, ui, lease)
        if spend:
            store.drop_all_scratch()
            saved = drain_journals(store, config)
            if saved:
                ui.say(f"{saved} answers of a run that died were saved from its journal")
        yield hub


def check(config: Config, stages: Sequence[str]) -> list[str]:
    """What can be known to be wrong before anything starts. Returns the stages, all of them if none is named.

    Raises ConfigError for an unknown stage or task, InputError for a path that is not there.
    """
    for stage in stages:
        if stage not in STAGES:
            raise ConfigError(f"unknown stage {stage!r}{nearest(stage, STAGES)}")
    chosen = [stage for stage in STAGES if stage in stages] or list(STAGES)
    if "documents" in chosen:
        documents.check(config.documents)
    if "synthesize" in chosen:
        synthesis.prompts_of(config)
    return chosen


def run(hub: Hub, stages: Sequence[str]) -> list[StageResult]:
    """Each stage in order. Raises what ended one, after it was committed; TransientFailures at the end, if any call is missing."""
    results = [_recorded(hub, stage) for stage in stages]
    transient = sum(result.transient for result in results)
    if transient:
        raise TransientFailures(f"done, but {transient} calls failed in passing: run again to ask for those")
    return results


def import_personas(hub: Hub, path: str, column: str = "persona") -> StageResult:
    """Hop-0 personas from a jsonl(.gz/.zst) or parquet file; what is refused goes to rejects with its reason. Nothing is bought."""
    kind = "parquet" if ".parquet" in Path(path).name else "jsonl"
    source = Documents(
        format=kind, path=path, text_column=column, languages=(), filters={"min_characters": None, "max_characters": None}
    )
    documents.check(source)

    def stage(hub: Hub) -> dict[str, int]:
        read = hub.store.materialise(documents.read(hub.spark, source), "import.read")
        rows, unreadable = documents.split(read, hub.run_id)
        parsed = hub.store.materialise(text_to_persona.imported(rows, hub.config), "import.parsed")
        counts = _insert_personas(hub, parsed)
        counts["rejects"] += hub.store.insert_new(unreadable.withColumn("stage", F.lit("import")), "rejects")
        return counts

    return _recorded(hub, "import", stage)


def estimates(hub: Hub, stages: Sequence[str]) -> list[Estimate]:
    """What each paid stage would buy now, from the tables as they stand. Spends nothing."""
    orders = [_ORDERS[stage](hub) for stage in stages if stage in _ORDERS]
    return [estimate(hub.store, order, find_missing(hub.store, order)) for order in orders]


def preview(hub: Hub, stage: str, n: int) -> list[Preview]:
    """The exact prompts and answers of `n` requests, always the same ones. What they cost goes into the ledger: a run reuses them."""
    if stage not in _ORDERS:
        raise ConfigError(f"{stage!r} asks no model: preview takes one of {', '.join(_ORDERS)}")
    order = _ORDERS[stage](hub)
    few = hub.store.materialise(order.requests.orderBy("completion_id", "source_id").limit(n), f"{stage}.preview")
    order = replace(order, requests=few)
    buy(hub.store, hub.config, hub.run_id, order, _Unasked(hub.ui), hub.lease)
    answers = {row.completion_id: row for row in _answers_of(hub, few).collect()}
    return [_previewed(order, row, answers.get(row.completion_id)) for row in few.orderBy("completion_id").collect()]


def status(hub: Hub) -> report.Status:
    """Figures from the tables."""
    return report.status({name: hub.store.table(name) for name in schemas.TABLES})


# -- stages ----------------------------------------------------------------------------------------------------------------------------


def _documents(hub: Hub) -> dict[str, int]:
    config = hub.config.documents
    table = hub.store.read_delta(config.path) if config.format == "delta" else None
    read = hub.store.materialise(documents.read(hub.spark, config, table), "documents.read")
    rows, rejects = documents.split(read, hub.run_id)
    return {"documents": hub.store.insert_new(rows, "documents"), "rejects": hub.store.insert_new(rejects, "rejects")}


def _text_to_persona(hub: Hub) -> dict[str, int]:
    order = _order_personas(hub)

    def write() -> dict[str, int]:
        pending = _unparsed(hub, order, hub.store.table("lineage").select(F.col("parent_id").alias("source_id"), "completion_id"))
        parsed = text_to_persona.parse(pending, hub.store.table("completions"), hub.config, hub.run_id)
        return _insert_personas(hub, hub.store.materialise(parsed, "text-to-persona.parsed"))

    return _bought_then(hub, order, write)


def _synthesize(hub: Hub) -> dict[str, int]:
    order = _order_examples(hub)

    def write() -> dict[str, int]:
        pending = _unparsed(
            hub, order, hub.store.table("examples").select(F.col("persona_id").alias("source_id"), "completion_id")
        )
        parsed = synthesis.parse(pending, hub.store.table("completions"), hub.config, hub.run_id)
        parsed = hub.store.materialise(parsed, "synthesize.parsed")
        if parsed.isEmpty():
            return {"examples": 0, "rejects": 0}
        examples, rejects = synthesis.split(parsed, hub.run_id)
        return {"examples": hub.store.insert_new(examples, "examples"), "rejects": hub.store.insert_new(rejects, "rejects")}

    return _bought_then(hub, order, write)


def _order_personas(hub: Hub) -> Order:
    config = hub.config
    requests = text_to_persona.build(hub.store.table("documents"), config)
    return Order("text-to-persona", requests, config.models[config.text_to_persona.model], text_to_persona.prompts_of(config))


def _order_examples(hub: Hub) -> Order:
    config, table = hub.config, hub.store.table
    kept = synthesis.kept(table("personas"), table("duplicates"), table("tombstones"))
    requests = synthesis.build(kept, config)
    return Order("synthesize", requests, config.models[config.synthesis.model], synthesis.prompts_of(config))


_RUN: dict[str, Callable[[Hub], dict[str, int]]] = {
    "documents": _documents,
    "text-to-persona": _text_to_persona,
    "synthesize": _synthesize,
}
_ORDERS: dict[str, Callable[[Hub], Order]] = {"text-to-persona": _order_personas, "synthesize": _order_examples}
STAGES: tuple[str, ...] = tuple(_RUN)


# -- what stages share -----------------------------------------------------------------------------------------------------------------


def _bought_then(hub: Hub, order: Order, write: Callable[[], dict[str, int]]) -> dict[str, int]:
    """Buy, then read the ledger back; what was bought before a budget or an endpoint ended the stage is read back too."""
    try:
        bought = buy(hub.store, hub.config, hub.run_id, order, hub.ui, hub.lease)
    except Interrupted:
        raise
    except PersonahubError:
        write()
        raise
    return {"calls": bought.calls, "reused": bought.reused, "failed": bought.failed, **write()}


def _unparsed(hub: Hub, order: Order, made: DataFrame) -> DataFrame:
    """The requests whose pair (source, completion) has led to no row yet, neither made nor rejected."""
    refused = hub.store.table("rejects").where(F.col("stage") == order.stage).select("source_id", "completion_id")
    return order.requests.join(made.unionByName(refused).distinct(), on=["source_id", "completion_id"], how="left_anti")


def _insert_personas(hub: Hub, parsed: DataFrame) -> dict[str, int]:
    if parsed.isEmpty():
        return {"personas": 0, "lineage": 0, "rejects": 0}
    personas, lineage, rejects = text_to_persona.split(parsed, hub.run_id)
    # rejects and lineage last: they are what marks a pair as read
    tables = {"personas": personas, "lineage": lineage, "rejects": rejects}
    return {name: hub.store.insert_new(rows, name) for name, rows in tables.items()}


def _recorded(hub: Hub, stage: str, work: Callable[[Hub], dict[str, int]] | None = None) -> StageResult:
    """Run a stage and write its row of `runs`, however it ends."""
    began, counts, ended = time.monotonic(), {}, "done"
    try:
        counts = (work or _RUN[stage])(hub)
        hub.store.compact()
    except BaseException as error:
        ended = type(error).__name__
        raise
    finally:
        spent = _spent(hub, stage)
        result = StageResult(stage, counts, time.monotonic() - began, *spent, transient=counts.get("failed", 0))
        _write_run(hub, result, ended)
    return result


def _spent(hub: Hub, stage: str) -> tuple[int, int, float | None]:
    if stage not in _ORDERS:
        return 0, 0, 0.0
    mine = hub.store.table("completions").where((F.col("run_id") == hub.run_id) & (F.col("stage") == stage))
    sums = mine.agg(F.sum("prompt_tokens"), F.sum("completion_tokens"), F.sum("cost_usd"), F.count("*")).collect()[0]
    return sums[0] or 0, sums[1] or 0, sums[2] if sums[3] else 0.0


def _write_run(hub: Hub, result: StageResult, ended: str) -> None:
    row = (
        hub.run_id,
        result.stage,
        hub.config.fingerprint,
        result.counts,
        result.prompt_tokens,
        result.completion_tokens,
        result.cost_usd,
        result.seconds,
        ended,
        datetime.now(timezone.utc),
    )
    hub.store.append(hub.spark.createDataFrame([row], schemas.RUNS), "runs")


def _answers_of(hub: Hub, requests: DataFrame) -> DataFrame:
    final = hub.store.table("completions").where("final")
    return final.join(requests.select("completion_id").distinct(), on="completion_id", how="left_semi")


def _previewed(order: Order, request: Any, answer: Any) -> Preview:
    prompt: Prompt = order.prompts[request.prompt_name]
    messages = prompt.render(json.loads(request.variables))
    if answer is None:
        return Preview(request.source_id, messages, None, "no answer: the call failed in passing", 0, 0, None)
    return Preview(
        request.source_id,
        messages,
        answer.text,
        answer.error_kind,
        answer.prompt_tokens,
        answer.completion_tokens,
        answer.cost_usd,
    )


class _Unasked:
    """A preview is asked for by name and is small: it does not ask back."""

    def __init__(self, ui: Buyer) -> None:
        self._ui = ui

    def confirm(self, estimate: Estimate) -> bool:
        return True

    def watch(self, stage: str, total: int, snapshot: Callable[[], Any]) -> Any:
        return self._ui.watch(stage, total, snapshot)

    def say(self, text: str) -> None:
        self._ui.say(text)
