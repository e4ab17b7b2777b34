"""The state of a hub in figures. Each table is aggregated once, and all aggregates are collected together, as one query."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from personahub.figures.counts import by_name, count
from personahub.storage.views import Tables, duplicates_of_kind, not_kept


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
    time of all its runs. status: how the last run of the stage ended, `done` or the name of an error. utilisation: of the last run that
    bought, see `Spent`. cached_tokens: those of prompt_tokens that providers read from their cache. estimated: rows of the ledger whose
    tokens are, in part, our upper estimate. purposes: the same for each purpose that the stage asked for, without times.
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
    status: str | None = None
    utilisation: float | None = None
    cached_tokens: int = 0
    estimated: int = 0
    purposes: Mapping[str, "Ledger"] = field(default_factory=dict)


@dataclass(frozen=True)
class Status:
    """A hub in figures.

    refused: pages, and files that could not be read to their end, that became no documents.
    """

    documents: int
    refused: int
    personas: int
    duplicates_by_method: Mapping[str, int]
    kept: int
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


def status(table: Tables, order: Sequence[str] = ()) -> Status:
    """Figures of the tables of `schemas.TABLES`. order: the stages in theirs. One query; no row of text is read."""
    aggregates = [
        count("documents", table("documents")),
        count("personas", table("personas"), by="hop"),
        count("not_kept", not_kept(table)),
        count("duplicates", duplicates_of_kind(table, "persona"), by="method"),
        count("examples", table("examples"), by="task"),
        count("example_duplicates", duplicates_of_kind(table, "example")),
        count("rejects", table("rejects"), by="reason", per="stage"),
        count("refused", table("rejects").where(F.col("stage") == "documents").select("source_id").distinct()),
        *_calls(_ledger(table)),
        _runs(table("runs")),
    ]
    rows = reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), aggregates).collect()
    return _read(rows, order)


def _ledger(table: Tables) -> DataFrame:
    """What was bought, of both ledgers: a text whose vector was asked for counts as a request."""
    same = ["stage", "purpose", "final", "error_kind", "prompt_tokens", "tokens_estimated", "cost_usd", "attempts", "created_at"]
    answers = table("completions").select("completion_id", "completion_tokens", "cached_tokens", *same)
    bought = table("embeddings").where(F.col("base_url") != "local")
    text = F.concat_ws(" ", "text_id", "model").alias("completion_id")
    none = F.lit(0).cast("long")
    ledger = answers.unionByName(bought.select(text, none.alias("completion_tokens"), none.alias("cached_tokens"), *same))
    return ledger.withColumn("purpose", F.coalesce("purpose", F.lit("")))


def _calls(ledger: DataFrame) -> list[DataFrame]:
    """Requests by how they stand, and what they cost. A request may have several rows that are not final, and at most one that is."""
    summed = ("prompt_tokens", "cached_tokens", "completion_tokens", "cost_usd", "attempts")
    money = [F.sum(name).alias(name) for name in summed]
    money.append(F.count(F.when(F.col("tokens_estimated"), 1)).alias("estimated"))
    unpriced = F.sum(F.when(F.col("cost_usd").isNull(), 1).otherwise(0)).cast("long").alias("unpriced")
    spent = ledger.groupBy("stage", "purpose").agg(*money, unpriced).withColumn("figure", F.lit("spent"))
    newest = F.struct("final", "created_at", "error_kind")
    # formats that a probe found wanting are not asked for again
    wanted = ledger.where((F.col("stage") != "probe") | F.col("final"))
    requests = wanted.groupBy("stage", "purpose", "completion_id").agg(F.max(newest).alias("last"))
    figure = F.when(F.col("last.final"), "final").otherwise("missing").alias("figure")
    stands = requests.groupBy("stage", "purpose", figure, F.col("last.error_kind").alias("name")).agg(F.count("*").alias("rows"))
    return [spent, stands]


def _runs(runs: DataFrame) -> DataFrame:
    ended = F.max_by("status", "created_at").alias("name")
    bought_at = F.when(F.col("utilisation").isNotNull(), F.col("created_at"))
    utilisation = F.max_by("utilisation", bought_at).alias("utilisation")
    by_stage = runs.groupBy("stage").agg(F.sum("seconds").alias("seconds"), ended, utilisation)
    return by_stage.withColumn("figure", F.lit("runs"))


def _read(rows: Iterable[Row], order: Sequence[str]) -> Status:
    rows = list(rows)

    def total(figure: str) -> int:
        return sum(by_name(rows, figure).values())

    def place(stage: str) -> tuple[int, str]:
        """In the order of the pipeline; what is not known there comes last."""
        known = ("import", *order)
        return (known.index(stage) if stage in known else len(known), stage)

    personas = total("personas")
    refused = [Reject(row.stage, row.name, row.rows) for row in rows if row.figure == "rejects"]
    stages = {row.stage for row in rows if row.figure in ("spent", "runs")}
    return Status(
        documents=total("documents"),
        refused=total("refused"),
        personas=personas,
        duplicates_by_method=by_name(rows, "duplicates"),
        kept=personas - total("not_kept"),
        examples=total("examples"),
        examples_by_task=by_name(rows, "examples"),
        example_duplicates=total("example_duplicates"),
        personas_by_hop=dict(sorted((int(hop), rows_) for hop, rows_ in by_name(rows, "personas").items())),
        rejects=tuple(sorted(refused, key=lambda reject: (place(reject.stage), -reject.rows, reject.reason))),
        stages=tuple(_of_stage(stage, [row for row in rows if row.stage == stage]) for stage in sorted(stages, key=place)),
    )


def _of_stage(stage: str, rows: list[Row]) -> Ledger:
    bought = [row for row in rows if row.figure in ("spent", "final", "missing")]
    purposes = sorted({row.purpose for row in bought})
    each = {purpose: _of_rows(stage, [row for row in bought if row.purpose == purpose]) for purpose in purposes}
    run = next((row for row in rows if row.figure == "runs"), None)
    if run is None:
        return replace(_of_rows(stage, bought), purposes=each)
    times = {"seconds": run.seconds or 0.0, "status": run.name, "utilisation": run.utilisation}
    return replace(_of_rows(stage, bought), purposes=each, **times)


def _of_rows(stage: str, rows: list[Row]) -> Ledger:
    final, missing = by_name(rows, "final"), by_name(rows, "missing")
    spent = [row for row in rows if row.figure == "spent"]
    return Ledger(
        stage,
        answered=final.pop(None, 0),
        not_answered=final,
        missing=sum(missing.values()),
        missing_because=missing,
        attempts=sum(row.attempts or 0 for row in spent),
        prompt_tokens=sum(row.prompt_tokens or 0 for row in spent),
        cached_tokens=sum(row.cached_tokens or 0 for row in spent),
        completion_tokens=sum(row.completion_tokens or 0 for row in spent),
        estimated=sum(row.estimated or 0 for row in spent),
        cost_usd=None if any(row.unpriced for row in spent) else sum(row.cost_usd or 0.0 for row in spent),
    )
