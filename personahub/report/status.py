"""The state of a hub in figures. Each table is aggregated once, and all aggregates are collected together, as one query."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, get_args

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from personahub.config import Relation
from personahub.report.history import with_utilisation

_TEXT_RELATIONS = get_args(Relation)  # of hop 0: whose parents are documents


@dataclass(frozen=True)
class Reject:
    """How many rows were refused, at which stage, for which reason."""

    stage: str
    reason: str
    rows: int


@dataclass(frozen=True)
class Ledger:
    """What a stage has bought over the hub's lifetime. All but tokens and dollars count distinct requests; for vectors, texts.

    missing: asked at least once and without a final row, so the next run asks again. not_answered: final, but no usable answer, by error
    kind. missing_because: the last error kind of what is missing. cost_usd: None where the price of any call is unknown. seconds: the
    time of all its runs. ended: how the last run of the stage ended, `done` or the name of an error. utilisation: of the last run that
    bought, see `Spent`.
    """

    stage: str
    answered: int = 0
    not_answered: Mapping[str, int] | None = None
    missing: int = 0
    missing_because: Mapping[str, int] | None = None
    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = 0.0
    seconds: float = 0.0
    ended: str | None = None
    utilisation: float | None = None


@dataclass(frozen=True)
class Status:
    """A hub in figures.

    refused: pages, and files that could not be read to their end, that became no documents. documents_open, kept_open: documents, and
    kept personas, that have led to nothing yet, neither a row nor a reject: their stage has still to ask for them or to read the answer.
    """

    documents: int
    refused: int
    documents_open: int
    personas: int
    duplicates_by_method: Mapping[str, int]
    kept: int
    kept_open: int
    examples: int
    examples_by_task: Mapping[str, int]
    example_duplicates: int
    personas_by_hop: Mapping[int, int]
    rejects: tuple[Reject, ...]
    stages: tuple[Ledger, ...]

    @property
    def cost_usd(self) -> float | None:
        """Dollars of the hub's lifetime; None where any price is unknown."""
        costs = [stage.cost_usd for stage in self.stages]
        return None if None in costs else sum(cost for cost in costs if cost is not None)

    @property
    def missing(self) -> int:
        return sum(stage.missing for stage in self.stages)


def status(tables: Mapping[str, DataFrame]) -> Status:
    """Figures of the tables of `schemas.TABLES`, by name. One query; no row of text is read."""
    aggregates = [
        _count("documents", tables["documents"]),
        _count("asked_documents", _asked_documents(tables)),
        _count("personas", tables["personas"], by="hop"),
        _count("gone", _gone(tables)),
        _count("duplicates", tables["duplicates"].where(F.col("kind") == "persona"), by="method"),
        _count("asked_personas", _asked_personas(tables)),
        _count("examples", tables["examples"], by="task"),
        _count("example_duplicates", tables["duplicates"].where(F.col("kind") == "example")),
        _count("rejects", tables["rejects"], by="reason", stage=F.col("stage")),
        _count("refused", tables["rejects"].where(F.col("stage") == "documents").select("source_id").distinct()),
        *_calls(_ledger(tables)),
        _runs(tables["runs"]),
    ]
    rows = reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), aggregates).collect()
    return _read(rows)


def _count(figure: str, rows: DataFrame, by: str | None = None, stage: Column | None = None) -> DataFrame:
    """(figure, stage, name, rows): the number of rows by `stage` and by the column `by`."""
    labels = [
        (F.lit(None) if stage is None else stage).cast("string").alias("stage"),
        (F.lit(None) if by is None else F.col(by)).cast("string").alias("name"),
    ]
    return rows.groupBy(*labels).agg(F.count("*").alias("rows")).select(F.lit(figure).alias("figure"), "stage", "name", "rows")


def _asked_documents(tables: Mapping[str, DataFrame]) -> DataFrame:
    """Documents that have led to a persona or a reject."""
    made = tables["lineage"].where(F.col("relation").isin(*_TEXT_RELATIONS)).select(F.col("parent_id").alias("source_id"))
    refused = tables["rejects"].where(F.col("stage") == "text-to-persona").select("source_id")
    return made.unionByName(refused).distinct()


def _asked_personas(tables: Mapping[str, DataFrame]) -> DataFrame:
    """Kept personas that have led to an example or a reject."""
    made = tables["examples"].select(F.col("persona_id").alias("source_id"))
    refused = tables["rejects"].where(F.col("stage") == "synthesize").select("source_id")
    return made.unionByName(refused).distinct().join(_gone(tables), on="source_id", how="left_anti")


def _gone(tables: Mapping[str, DataFrame]) -> DataFrame:
    """Personas that are not kept: a duplicate of another one, taken down, or not comparable."""
    gone = tables["duplicates"].select("id", "kind").unionByName(tables["tombstones"].select("id", "kind"))
    gone = gone.where(F.col("kind") == "persona").select(F.col("id").alias("source_id"))
    return gone.unionByName(tables["rejects"].where(F.col("stage") == "dedup").select("source_id")).distinct()


def _ledger(tables: Mapping[str, DataFrame]) -> DataFrame:
    """What was bought, of both ledgers: a text whose vector was asked for counts as a request of the stage dedup."""
    same = ["final", "error_kind", "prompt_tokens", "cost_usd", "attempts", "created_at"]
    answers = tables["completions"].select("stage", "completion_id", "completion_tokens", *same)
    bought = tables["embeddings"].where(F.col("base_url") != "local")
    text = F.concat_ws(" ", "persona_id", "model").alias("completion_id")
    return answers.unionByName(bought.select(F.lit("dedup").alias("stage"), text, F.lit(0).alias("completion_tokens"), *same))


def _calls(completions: DataFrame) -> list[DataFrame]:
    """Requests by how they stand, and what they cost. A request may have several rows that are not final, and at most one that is."""
    money = [F.sum(name).alias(name) for name in ("prompt_tokens", "completion_tokens", "cost_usd", "attempts")]
    unpriced = F.sum(F.when(F.col("cost_usd").isNull(), 1).otherwise(0)).cast("long").alias("unpriced")
    spent = completions.groupBy("stage").agg(*money, unpriced).withColumn("figure", F.lit("spent"))
    newest = F.struct("final", "created_at", "error_kind")
    # formats that a probe found wanting are not asked for again
    wanted = completions.where((F.col("stage") != "probe") | F.col("final"))
    requests = wanted.groupBy("stage", "completion_id").agg(F.max(newest).alias("last"))
    figure = F.when(F.col("last.final"), "final").otherwise("missing").alias("figure")
    stands = requests.groupBy("stage", figure, F.col("last.error_kind").alias("name")).agg(F.count("*").alias("rows"))
    return [spent, stands]


def _runs(runs: DataFrame) -> DataFrame:
    ended = F.max_by("ended", "created_at").alias("name")
    bought_at = F.when(F.col("utilisation").isNotNull(), F.col("created_at"))
    utilisation = F.max_by("utilisation", bought_at).alias("utilisation")
    by_stage = with_utilisation(runs).groupBy("stage").agg(F.sum("seconds").alias("seconds"), ended, utilisation)
    return by_stage.withColumn("figure", F.lit("runs"))


def _read(rows: Iterable[Row]) -> Status:
    rows = list(rows)

    def counts(figure: str, stage: str | None = None) -> dict[Any, int]:
        found = [row for row in rows if row.figure == figure and (stage is None or row.stage == stage)]
        return {row.name: row.rows for row in sorted(found, key=lambda row: (-row.rows, str(row.name)))}

    def total(figure: str) -> int:
        return sum(counts(figure).values())

    def ledger(stage: str) -> Ledger:
        final, missing = counts("final", stage), counts("missing", stage)
        spent = next((row for row in rows if row.figure == "spent" and row.stage == stage), None)
        run = next((row for row in rows if row.figure == "runs" and row.stage == stage), None)
        return Ledger(
            stage,
            answered=final.pop(None, 0),
            not_answered=final,
            missing=sum(missing.values()),
            missing_because=missing,
            attempts=(spent.attempts or 0) if spent else 0,
            prompt_tokens=(spent.prompt_tokens or 0) if spent else 0,
            completion_tokens=(spent.completion_tokens or 0) if spent else 0,
            cost_usd=0.0 if spent is None else None if spent.unpriced else spent.cost_usd,
            seconds=(run.seconds or 0.0) if run else 0.0,
            ended=run.name if run else None,
            utilisation=run.utilisation if run else None,
        )

    documents, personas, kept = total("documents"), total("personas"), total("personas") - total("gone")
    refused = [Reject(row.stage, row.name, row.rows) for row in rows if row.figure == "rejects"]
    stages = {row.stage for row in rows if row.figure in ("spent", "runs")}
    return Status(
        documents=documents,
        refused=total("refused"),
        documents_open=max(0, documents - total("asked_documents")),
        personas=personas,
        duplicates_by_method=counts("duplicates"),
        kept=kept,
        kept_open=max(0, kept - total("asked_personas")),
        examples=total("examples"),
        examples_by_task=counts("examples"),
        example_duplicates=total("example_duplicates"),
        personas_by_hop=dict(sorted((int(hop), rows_) for hop, rows_ in counts("personas").items())),
        rejects=tuple(sorted(refused, key=lambda reject: (_order(reject.stage), -reject.rows, reject.reason))),
        stages=tuple(ledger(stage) for stage in sorted(stages, key=_order)),
    )


def _order(stage: str) -> tuple[int, str]:
    """In the order of the pipeline; what is not known here comes last."""
    known = ("documents", "import", "probe", "text-to-persona", "dedup", "persona-to-persona", "synthesize")
    return (known.index(stage) if stage in known else len(known), stage)
