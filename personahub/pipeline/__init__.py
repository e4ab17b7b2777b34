"""The only wiring: one function per stage = read, transform, buy, write, return counts."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from itertools import chain
from pathlib import Path

from pyspark.sql import functions as F

from personahub import documents, persona_to_persona, personas, report, schemas, synthesis, text_to_persona
from personahub.config import Config, DocumentFilters, Documents
from personahub.errors import ConfigError, InputError, TransientFailures
from personahub.pipeline import dedup, example_dedup, hops, prices, semantic
from personahub.pipeline.forecast import Forecast, forecast
from personahub.pipeline.hub import Hub, Silent, open_hub
from personahub.pipeline.paid import OF_PERSONAS, PAID, buy_and_parse, insert_all
from personahub.pipeline.previews import Preview, estimates, preview
from personahub.pipeline.reviews import record as import_verdicts
from personahub.pipeline.reviews import sheet as review_sheet
from personahub.pipeline.reviews import validity
from personahub.pipeline.synthesize import accepting, conversations
from personahub.pipeline.takedown import Forgotten, forget
from personahub.text import nearest

__all__ = [
    "STAGES",
    "Forecast",
    "Forgotten",
    "Hub",
    "Preview",
    "Silent",
    "StageResult",
    "check",
    "estimates",
    "forecast",
    "forget",
    "hop_report",
    "import_personas",
    "import_verdicts",
    "lineage",
    "open_hub",
    "personas_file",
    "preview",
    "review_sheet",
    "run",
    "runs",
    "status",
    "validity",
]

STAGES: tuple[str, ...] = ("documents", "text-to-persona", "dedup", hops.STAGE, "synthesize")


@dataclass(frozen=True)
class StageResult:
    """What one stage did. transient: calls that failed in passing and are missing still. utilisation: see `report.Spent`."""

    stage: str
    counts: dict[str, int]
    seconds: float
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = 0.0
    transient: int = 0
    utilisation: float | None = None


def check(config: Config, stages: Sequence[str], *, spend: bool = True, of: str = "personas") -> list[str]:
    """What can be known to be wrong before anything starts. Returns the stages, all of them if none is named.

    spend: may they buy? of: see `run`. Raises ConfigError for an unknown stage or task, for settings of dedup that can not work, and for a
    budget where the price of a model that a stage asks is not known; InputError for a path that is not there.
    """
    for stage in stages:
        if stage not in STAGES:
            raise ConfigError(f"unknown stage {stage!r}{nearest(stage, STAGES)}")
    chosen = [stage for stage in STAGES if stage in stages] or list(STAGES)
    if "documents" in chosen:
        documents.check(config.documents)
    if "dedup" in chosen:
        dedup.check(config)
    if hops.STAGE in chosen:
        persona_to_persona.load_relations(config.persona_to_persona.relations_file)
    if "synthesize" in chosen:
        synthesis.check(config)
        if config.synthesis.needs_vectors:
            semantic.check(config)
    if spend:
        prices.check(config, chosen, of)
    return chosen


def run(hub: Hub, stages: Sequence[str], *, rebuild: bool = False, of: str = "personas") -> Iterator[StageResult]:
    """Each stage in order, told as it ends; persona-to-persona hop by hop, each with the dedup before it. Raises what ended one, after it
    was committed. rebuild: `dedup` takes its verdicts back first. of: personas or examples, what `dedup` compares.

    Calls that failed in passing stop no stage behind them, which works on what there is; TransientFailures is raised at the end.
    """
    prices.check(hub.config, stages, of)
    missing = {}
    for stage, work in chain.from_iterable(_steps(hub, stage, rebuild, of) for stage in stages):
        result = _recorded(hub, stage, work)
        yield result
        if result.transient:
            missing[stage] = missing.get(stage, 0) + result.transient
    if missing:
        calls = ", ".join(f"{count} of {stage}" for stage, count in missing.items())
        raise TransientFailures(f"done, but calls failed in passing ({calls}): run again to ask for those")


def personas_file(path: str, column: str = "persona") -> Documents:
    """A jsonl(.gz/.zst) or parquet file of personas, as something to be read. Raises InputError if it is not there; needs no engine."""
    if not Path(path).exists():
        raise InputError(f"there is no file {path}: name a jsonl, jsonl.gz, jsonl.zst or parquet file")
    kind = "parquet" if ".parquet" in Path(path).name else "jsonl"
    unfiltered = DocumentFilters(min_characters=None, max_characters=None)
    return Documents(format=kind, path=path, text_column=column, languages=(), filters=unfiltered)


def import_personas(hub: Hub, source: Documents) -> StageResult:
    """Hop-0 personas from a `personas_file`; what is refused goes to rejects with its reason. Nothing is bought."""

    def stage(hub: Hub) -> dict[str, int]:
        read = hub.store.materialise(documents.read(hub.spark, source), "import.read")
        rows, unreadable = documents.split(read, hub.run_id)
        parsed = hub.store.materialise(text_to_persona.imported(rows, hub.config), "import.parsed")
        counts = insert_all(hub, OF_PERSONAS, personas.split(parsed, hub.run_id))
        counts["rejects"] += hub.store.insert_new(unreadable.withColumn("stage", F.lit("import")), "rejects")
        return counts

    return _recorded(hub, "import", stage)


def status(hub: Hub) -> report.Status:
    """Figures from the tables."""
    return report.status({name: hub.store.table(name) for name in schemas.TABLES})


def hop_report(hub: Hub) -> tuple[report.Hop, ...]:
    """Persona-to-persona hop by hop; of a hub that has asked no persona, hop 0 alone."""
    return report.hops({name: hub.store.table(name) for name in schemas.TABLES})


def lineage(hub: Hub, persona_id: str) -> report.Lineage:
    """Where a persona comes from and who was found through it. Raises InputError if there is none of this id."""
    found = report.lineage({name: hub.store.table(name) for name in schemas.TABLES}, persona_id)
    if found is None:
        raise InputError(f"the hub has no persona {persona_id}: give a persona_id as the table personas has it")
    return found


def runs(hub: Hub, n: int) -> tuple[report.Run, ...]:
    """The last `n` stages that ran, newest first. One that was killed is not among them: it could record nothing."""
    return report.runs(hub.store.table("runs"), n)


def _steps(hub: Hub, stage: str, rebuild: bool, of: str) -> Iterable[hops.Step]:
    match stage:
        case "documents":
            return [(stage, _documents)]
        case dedup.STAGE if of == "examples":
            return [(stage, example_dedup.run)]
        case dedup.STAGE:
            return [(stage, partial(dedup.run, rebuild=rebuild))]
        case hops.STAGE:
            return hops.steps(hub)
        case synthesis.STAGE:
            talks = [(stage, conversations.run)] if synthesis.CONVERSATION in hub.config.synthesis.tasks else []
            return [(stage, accepting.run), *talks]
        case _:
            return [(stage, partial(buy_and_parse, stage=stage, paid=PAID[stage]))]


def _documents(hub: Hub) -> dict[str, int]:
    config = hub.config.documents
    table = hub.store.read_delta(config.path) if config.format == "delta" else None
    read = hub.store.materialise(documents.read(hub.spark, config, table), "documents.read")
    return insert_all(hub, ("documents", "rejects"), documents.split(read, hub.run_id))


def _recorded(hub: Hub, stage: str, work: Callable[[Hub], dict[str, int]]) -> StageResult:
    """Run a stage and write its row of `runs`, however it ends."""
    since, began, counts, ended = datetime.now(timezone.utc), time.monotonic(), {}, "done"
    try:
        counts = work(hub)
        hub.store.compact()
    except BaseException as error:
        ended = type(error).__name__
        raise
    finally:
        spent = _spent(hub, stage, since)
        if not counts and spent.rows:  # it was stopped, and returned none
            counts = {"vectors" if stage == dedup.STAGE else "calls": spent.rows}
        result = StageResult(
            stage,
            counts,
            time.monotonic() - began,
            spent.prompt_tokens,
            spent.completion_tokens,
            spent.cost_usd,
            transient=counts.get("failed", 0),
            utilisation=spent.utilisation,
        )
        _write_run(hub, result, ended)
    return result


def _spent(hub: Hub, stage: str, began: datetime) -> report.Spent:
    """Since then: a run has several hops, and dedup between them."""
    of_run = (F.col("run_id") == hub.run_id) & (F.col("created_at") >= began)
    if stage in PAID or stage == hops.STAGE:
        ledger = hub.store.table("completions").where(of_run & (F.col("stage") == stage))
        name = PAID[stage].model(hub.config) if stage in PAID else hub.config.persona_to_persona.model
    elif stage == dedup.STAGE and hub.config.dedup.semantic.enabled:
        ledger = hub.store.table("embeddings").where(of_run)
        name = hub.config.dedup.semantic.model
    else:
        return report.Spent()
    model = hub.config.models.get(name or "")
    return report.spent(ledger, None if model is None else model.max_concurrent_requests)


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
        result.utilisation,
    )
    hub.store.record([row], "runs")
