"""The stages that buy, as data, and what they share: buy, read the ledger back, insert what is new."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub import synthesis, text_to_persona
from personahub.buy import Order, buy
from personahub.config import Config, Model
from personahub.errors import Interrupted, PersonahubError
from personahub.pipeline.hub import Hub


def _order_personas(hub: Hub, model: Model) -> Order:
    requests = text_to_persona.build(hub.store.table("documents"), hub.config)
    return Order("text-to-persona", requests, model, text_to_persona.prompts_of(hub.config))


def _order_examples(hub: Hub, model: Model) -> Order:
    config, table = hub.config, hub.store.table
    kept = synthesis.kept(table("personas"), table("duplicates"), table("tombstones"), table("rejects"))
    requests = synthesis.build(kept, config)
    return Order("synthesize", requests, model, synthesis.prompts_of(config))


@dataclass(frozen=True)
class Paid:
    """A stage that buys. `model`: its name under `models`. `made`: the table and the column of the source by which a pair (source,
    completion) is known to be parsed.
    """

    model: Callable[[Config], str]
    build: Callable[[Hub, Model], Order]
    parse: Callable[[DataFrame, DataFrame, Config, str], DataFrame]
    split: Callable[[DataFrame, str], dict[str, DataFrame]]
    made: tuple[str, str]

    def order(self, hub: Hub) -> Order:
        return self.build(hub, hub.config.models[self.model(hub.config)])


def split_personas(parsed: DataFrame, run_id: str) -> dict[str, DataFrame]:
    return dict(zip(("personas", "lineage", "rejects"), text_to_persona.split(parsed, run_id), strict=True))


def _split_examples(parsed: DataFrame, run_id: str) -> dict[str, DataFrame]:
    return dict(zip(("examples", "rejects"), synthesis.split(parsed, run_id), strict=True))


PAID: dict[str, Paid] = {
    "text-to-persona": Paid(
        lambda config: config.text_to_persona.model,
        _order_personas,
        text_to_persona.parse,
        split_personas,
        ("lineage", "parent_id"),
    ),
    "synthesize": Paid(
        lambda config: config.synthesis.model, _order_examples, synthesis.parse, _split_examples, ("examples", "persona_id")
    ),
}


def buy_and_parse(hub: Hub, stage: str) -> dict[str, int]:
    """Buy, then read the ledger back; what was bought before a budget or an endpoint ended the stage is read back too."""
    paid = PAID[stage]
    left = hub.store.held(stage)
    if left is not None:  # a run died between two of its tables
        _insert(hub, stage, left)
    order = paid.order(hub)
    scratch = f"{stage}.requests"
    # made once: bought from, and parsed from
    order = replace(order, requests=hub.store.materialise(order.requests, scratch))
    try:
        return _buy_and_parse(hub, order)
    finally:
        hub.store.drop_scratch(scratch)


def _buy_and_parse(hub: Hub, order: Order) -> dict[str, int]:
    try:
        bought = buy(hub.store, hub.config, hub.run_id, order, hub.ui, hub.lease)
    except Interrupted:
        raise
    except PersonahubError:
        _parse(hub, order)
        raise
    return {"calls": bought.calls, "reused": bought.reused, "failed": bought.failed, **_parse(hub, order)}


def _parse(hub: Hub, order: Order) -> dict[str, int]:
    parse = PAID[order.stage].parse
    parsed = parse(_unparsed(hub, order), hub.store.table("completions"), hub.config, hub.run_id)
    return _insert(hub, order.stage, hub.store.hold(parsed, order.stage))


def _insert(hub: Hub, stage: str, parsed: DataFrame) -> dict[str, int]:
    """Into each table what is new. Tables have no common commit: until all are written, `parsed` is held for the next run."""
    tables = PAID[stage].split(parsed, hub.run_id)
    counts = dict.fromkeys(tables, 0) if parsed.isEmpty() else insert_all(hub, tables)
    hub.store.release(stage)
    return counts


def insert_all(hub: Hub, tables: dict[str, DataFrame]) -> dict[str, int]:
    return {name: hub.store.insert_new(rows, name) for name, rows in tables.items()}


def _unparsed(hub: Hub, order: Order) -> DataFrame:
    """The requests whose pair (source, completion) has led to no row yet, neither made nor rejected."""
    table, source = PAID[order.stage].made
    made = hub.store.table(table).select(F.col(source).alias("source_id"), "completion_id")
    refused = hub.store.table("rejects").where(F.col("stage") == order.stage).select("source_id", "completion_id")
    return order.requests.join(made.unionByName(refused).distinct(), on=["source_id", "completion_id"], how="left_anti")
