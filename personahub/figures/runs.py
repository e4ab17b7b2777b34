"""What runs took: a line for each stage of a run, and how busy an endpoint was kept while a stage bought."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


@dataclass(frozen=True)
class Run:
    """One stage of a run, as it ended at `created_at` (local time); `status`: `done` or the name of an error.

    cost_usd: None where a price is unknown. utilisation: see `Spent`.
    """

    run_id: str
    stage: str
    counts: Mapping[str, int]
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    seconds: float
    utilisation: float | None
    status: str
    created_at: datetime


@dataclass(frozen=True)
class Spent:
    """What a stage of a run has bought: rows of the ledgers (calls, vectors), tokens, dollars (None where the price of any row is unknown).

    utilisation: the share of the places (max_concurrent_requests) that was busy from the first request to the last answer, mean over
    that time; None where nothing was bought. It is a lower bound: of a request that was tried again the ledger has the last try's
    latency only. It passes 1 where tasks that no governor reaches hold more places together than there are (one each at least). Of several
    models each counts over its own time; utilisation_by_model: of each, by "model at base_url".
    """

    units: Mapping[str, int] = field(default_factory=dict)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = 0.0
    utilisation: float | None = None
    utilisation_by_model: Mapping[str, float] = field(default_factory=dict)


def runs(table: DataFrame, n: int) -> tuple[Run, ...]:
    """The last `n` rows of the table `runs`, newest first."""
    rows = table.orderBy(F.desc("created_at"), "stage").limit(n).collect()
    return tuple(
        Run(
            run_id=row.run_id,
            stage=row.stage,
            counts=row.counts or {},
            prompt_tokens=row.prompt_tokens or 0,
            completion_tokens=row.completion_tokens or 0,
            cost_usd=row.cost_usd,
            seconds=row.seconds or 0.0,
            utilisation=row.utilisation,
            status=row.status,
            created_at=row.created_at,
        )
        for row in rows
    )


def spent(completions: DataFrame, embeddings: DataFrame, places: Mapping[tuple[str, str], int]) -> Spent:
    """The rows that both ledgers have of one stage of one run. places: max_concurrent_requests by (model, base_url)."""
    columns = ["model", "base_url", "prompt_tokens", "completion_tokens", "cost_usd", "created_at", "latency_s"]
    answers = completions.select(F.lit("calls").alias("unit"), *columns)
    vectors = embeddings.withColumn("completion_tokens", F.lit(0).cast("long")).select(F.lit("vectors").alias("unit"), *columns)
    ledger = answers.unionByName(vectors)
    begun, ended = F.unix_micros("created_at") / 1e6 - F.col("latency_s"), F.unix_micros("created_at") / 1e6
    sums = [F.sum(name).alias(name) for name in ("prompt_tokens", "completion_tokens", "cost_usd")]
    counts = [F.count("*").alias("rows"), F.count("cost_usd").alias("priced")]
    # the texts of one request have a row each, with the latency of all of them, which counts once
    requests = ledger.groupBy("unit", "model", "base_url", "created_at", "latency_s").agg(*sums, *counts)
    totals = [F.sum(name).alias(name) for name in ("prompt_tokens", "completion_tokens", "cost_usd", "rows", "priced")]
    span = (F.max(ended) - F.min(begun)).alias("span")
    by_model = requests.groupBy("unit", "model", "base_url").agg(*totals, F.sum("latency_s").alias("busy"), span).collect()
    if not by_model:
        return Spent()
    # what each model could have done in the time in which it was asked; a local model has no places
    room = {row: places.get((row.model, row.base_url), 0) * (row.span or 0.0) for row in by_model}
    whole = sum(room.values())
    return Spent(
        {unit: sum(row["rows"] for row in by_model if row.unit == unit) for unit in sorted({row.unit for row in by_model})},
        sum(row.prompt_tokens or 0 for row in by_model),
        sum(row.completion_tokens or 0 for row in by_model),
        sum(row.cost_usd or 0.0 for row in by_model) if all(row.priced == row["rows"] for row in by_model) else None,
        sum(row.busy for row in by_model if room[row]) / whole if whole else None,
        {f"{row.model} at {row.base_url}": row.busy / room[row] for row in by_model if room[row]},
    )
