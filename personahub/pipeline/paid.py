"""The stages that buy, as data, and what they share: buy, read the ledger back, insert what is new."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub import personas, synthesis, text_to_persona
from personahub.buy import Judge, Order, buy
from personahub.config import Config, Model
from personahub.errors import Interrupted, PersonahubError
from personahub.pipeline.hub import Hub


def _order_personas(hub: Hub, model: Model) -> Order:
    requests = text_to_persona.build(hub.store.table("documents"), hub.config)
    return Order("text-to-persona", requests, model, text_to_persona.prompts_of(hub.config))


def _order_examples(hub: Hub, model: Model) -> Order:
    config, table = hub.config, hub.store.table
    kept = personas.kept(table("personas"), table("duplicates"), table("tombstones"), table("rejects"))
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
    return dict(zip(("personas", "lineage", "rejects"), personas.split(parsed, run_id), strict=True))


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


def buy_and_parse(hub: Hub, stage: str, paid: Paid, judge: Judge | None = None) -> dict[str, int]:
    """Buy, then read the ledger back; what was bought before a budget or an endpoint ended the stage is read back too."""
    left = hub.store.held(stage)
    if left is not None:  # a run died between two of its tables
        _insert(hub, stage, paid, left)
    order = paid.order(hub)
    scratch = f"{stage}.requests"
    # made once: bought from, and parsed from
    order = replace(order, requests=hub.store.materialise(order.requests, scratch))
    try:
        return _buy_and_parse(hub, order, paid, judge)
    finally:
        hub.store.drop_scratch(scratch)


def _buy_and_parse(hub: Hub, order: Order, paid: Paid, judge: Judge | None) -> dict[str, int]:
    try:
        bought = buy(hub.store, hub.config, hub.run_id, order, hub.ui, hub.lease, judge)
    except Interrupted:
        raise
    except PersonahubError:
        _parse(hub, order, paid)
        raise
    counts = {"calls": bought.calls, "reused": bought.reused, "failed": bought.failed}
    if bought.enough is not None:
        hub.ui.say(f"{order.stage}: {bought.enough}: the other {bought.unasked} requests are not asked")
        counts["unasked"] = bought.unasked
    return counts | _parse(hub, order, paid)


def _parse(hub: Hub, order: Order, paid: Paid) -> dict[str, int]:
    parsed = paid.parse(_unparsed(hub, order, paid), hub.store.table("completions"), hub.config, hub.run_id)
    return _insert(hub, order.stage, paid, hub.store.hold(parsed, order.stage))


def _insert(hub: Hub, stage: str, paid: Paid, parsed: DataFrame) -> dict[str, int]:
    """Into each table what is new. Tables have no common commit: until all are written, `parsed` is held for the next run."""
    tables = paid.split(parsed, hub.run_id)
    counts = dict.fromkeys(tables, 0) if parsed.isEmpty() else insert_all(hub, tables)
    hub.store.release(stage)
    return counts


def insert_all(hub: Hub, tables: dict[str, DataFrame]) -> dict[str, int]:
    return {name: hub.store.insert_new(rows, name) for name, rows in tables.items()}


def _unparsed(hub: Hub, order: Order, paid: Paid) -> DataFrame:
    """The requests whose pair (source, completion) has led to no row yet, neither made nor rejected."""
    table, source = paid.made
    made = hub.store.table(table).select(F.col(source).alias("source_id"), "completion_id")
    refused = hub.store.table("rejects").where(F.col("stage") == order.stage).select("source_id", "completion_id")
    return order.requests.join(made.unionByName(refused).distinct(), on=["source_id", "completion_id"], how="left_anti")
