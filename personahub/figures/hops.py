"""Persona-to-persona hop by hop: who was asked, what came of it, what it cost, beside what had been foreseen."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub.figures.counts import by_name, count
from personahub.storage.views import Tables, duplicates_of_kind, not_kept

STAGE = "persona-to-persona"


@dataclass(frozen=True)
class Hop:
    """One hop. Hop 0 came from texts or a file: it has only personas, duplicates and kept.

    frontier: kept personas of the hop before; asked: those of them that have a request, and answered: a final answer. produced: children in
    the answers that pass the filters; refused: the others, by reason. same: children whose very words were there already. personas: those
    first found in this hop, of which the duplicates are not kept. cost_usd: None where a price is unknown. expected_*: what was foreseen
    before its first call, None if nothing was.
    """

    hop: int
    frontier: int = 0
    asked: int = 0
    answered: int = 0
    produced: int = 0
    refused: Mapping[str, int] | None = None
    same: int = 0
    personas: int = 0
    duplicates: Mapping[str, int] | None = None
    kept: int = 0
    tokens: int = 0
    cost_usd: float | None = 0.0
    expected_calls: int | None = None
    expected_tokens: int | None = None
    expected_cost_usd: float | None = None

    @property
    def novelty(self) -> float | None:
        """Kept, of all that were produced."""
        return self.kept / self.produced if self.produced else None

    @property
    def usd_per_kept(self) -> float | None:
        return self.cost_usd / self.kept if self.kept and self.cost_usd is not None else None


def hops(table: Tables) -> tuple[Hop, ...]:
    """One query over the tables of `schemas.TABLES`; empty where there are no personas."""
    hop_of = table("personas").select(F.col("persona_id").alias("id"), "hop")
    requests = table("requests").where(F.col("stage") == STAGE)
    asked = requests.join(_next_hop(hop_of, "source_id"), on="source_id", how="inner").select("hop", "source_id", "completion_id")
    ledger = table("completions").where(F.col("stage") == STAGE)
    paid = ledger.join(asked.groupBy("completion_id").agg(F.min("hop").alias("hop")), on="completion_id", how="inner")
    edges = table("lineage").join(requests.select("completion_id").distinct(), on="completion_id", how="left_semi")
    produced = edges.join(_next_hop(hop_of, "parent_id"), on="parent_id", how="inner")
    refused = table("rejects").where(F.col("stage") == STAGE).join(_next_hop(hop_of, "source_id"), on="source_id", how="inner")
    removed = duplicates_of_kind(table, "persona").join(hop_of, on="id", how="inner")
    gone = not_kept(table).join(hop_of, on="id", how="inner")
    unpriced = F.sum(F.when(F.col("cost_usd").isNull(), 1).otherwise(0)).alias("unpriced")
    parts = [
        count("personas", hop_of, per="hop"),
        count("gone", gone, per="hop"),
        count("duplicates", removed, by="method", per="hop"),
        count("asked", asked.select("hop", "source_id").distinct(), per="hop"),
        count("answered", paid.where("final"), per="hop"),
        count("produced", produced, per="hop"),
        count("refused", refused, by="reason", per="hop"),
        paid.groupBy("hop").agg(
            F.lit("spent").alias("figure"),
            F.sum(F.col("prompt_tokens") + F.col("completion_tokens")).alias("rows"),
            F.sum("cost_usd").alias("cost_usd"),
            unpriced,
        ),
        table("hop_forecasts")
        .where(F.col("hop") == F.col("forecast_at_hop"))
        .groupBy("hop")
        .agg(F.lit("expected").alias("figure"), F.min(F.struct("created_at", "calls", "tokens", "cost_usd")).alias("first"))
        .select("hop", "figure", F.col("first.calls").alias("rows"), F.col("first.tokens").alias("tokens"), "first.cost_usd"),
    ]
    rows = reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), parts).collect()
    found: list[Hop] = []
    for hop in range(max((row.hop for row in rows), default=-1) + 1):
        mine = [row for row in rows if row.hop == hop]
        counts = {row.figure: row for row in mine if row.figure not in ("refused", "duplicates")}

        def number(figure: str, counts: Mapping = counts) -> int:
            return (counts[figure].rows or 0) if figure in counts else 0

        spent, expected = counts.get("spent"), counts.get("expected")
        personas = number("personas")
        produced_ = number("produced")
        found.append(
            Hop(
                hop,
                frontier=found[-1].kept if found else 0,
                asked=number("asked"),
                answered=number("answered"),
                produced=produced_,
                refused=by_name(mine, "refused"),
                same=max(0, produced_ - personas) if hop else 0,
                personas=personas,
                duplicates=by_name(mine, "duplicates"),
                kept=personas - number("gone"),
                tokens=number("spent"),
                cost_usd=0.0 if spent is None else None if spent.unpriced else spent.cost_usd,
                expected_calls=expected.rows if expected else None,
                expected_tokens=expected.tokens if expected else None,
                expected_cost_usd=expected.cost_usd if expected else None,
            )
        )
    return tuple(found)


def _next_hop(hop_of: DataFrame, name: str) -> DataFrame:
    """Of each persona, as `name`, the hop of its children."""
    return hop_of.select(F.col("id").alias(name), (F.col("hop") + 1).alias("hop"))
