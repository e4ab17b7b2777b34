"""What runs took: a line for each stage of a run, and how busy an endpoint was kept while a stage bought."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


@dataclass(frozen=True)
class Run:
    """One stage of a run, as it ended at `created_at` (local time); `ended`: `done` or the name of an error.

    cost_usd: None where a price is unknown. utilisation: see `Spent`; None also where the run was recorded before this was.
    """

    run_id: str
    stage: str
    counts: Mapping[str, int]
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    seconds: float
    utilisation: float | None
    ended: str
    created_at: datetime


@dataclass(frozen=True)
class Spent:
    """What a stage of a run has bought: rows of the ledger, tokens, dollars (None where the price of any row is unknown).

    utilisation: the share of the places (max_concurrent_requests) that was busy from the first request to the last answer, mean over
    that time; None where nothing was bought. It is a lower bound: of a request that was tried again the ledger has the last try's
    latency only. It passes 1 where tasks that no governor reaches hold more places together than there are (one each at least).
    """

    rows: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = 0.0
    utilisation: float | None = None


def runs(table: DataFrame, n: int) -> tuple[Run, ...]:
    """The last `n` rows of the table `runs`, newest first."""
    rows = with_utilisation(table).orderBy(F.desc("created_at"), "stage").limit(n).collect()
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
            ended=row.ended,
            created_at=row.created_at,
        )
        for row in rows
    )


def spent(ledger: DataFrame, places: int | None) -> Spent:
    """ledger: rows of `completions`, or of `embeddings`, of one stage of one run. places: None where no endpoint is asked."""
    begun, ended = F.unix_micros("created_at") / 1e6 - F.col("latency_s"), F.unix_micros("created_at") / 1e6
    sums = [F.sum(name).alias(name) for name in ("prompt_tokens", "completion_tokens", "cost_usd") if name in ledger.columns]
    counts = [F.count("*").alias("rows"), F.count("cost_usd").alias("priced")]
    # the texts of one request have a row each, with the latency of all of them, which counts once
    requests = ledger.groupBy("created_at", "latency_s").agg(*sums, *counts)
    totals = [F.sum(name).alias(name) for name in requests.columns if name not in ("created_at", "latency_s")]
    span = (F.max(ended) - F.min(begun)).alias("span")
    row = requests.agg(*totals, F.sum("latency_s").alias("busy"), span).collect()[0].asDict()
    if not row["rows"]:
        return Spent()
    return Spent(
        row["rows"],
        row["prompt_tokens"] or 0,
        row.get("completion_tokens") or 0,
        row["cost_usd"] if row["priced"] == row["rows"] else None,
        row["busy"] / (places * row["span"]) if places and row["busy"] and row["span"] else None,
    )


def with_utilisation(runs: DataFrame) -> DataFrame:
    """A table of runs that were all recorded before utilisation was lacks the column."""
    return runs if "utilisation" in runs.columns else runs.withColumn("utilisation", F.lit(None).cast("double"))
