"""The stages that buy, as data, and what they share: buy, read the ledger back, insert what is new."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub import personas, synthesis, text_to_persona
from personahub.buy import Judge, Order, buy
from personahub.config import Config, Model
from personahub.errors import Interrupted, PersonahubError
from personahub.pipeline.hub import Hub
from personahub.pipeline.synthesize import candidates
from personahub.pipeline.synthesize.fitting import fitted
from personahub.pipeline.synthesize.moderation import moderated

Split = Callable[[DataFrame, str], tuple[DataFrame, ...]]
OF_PERSONAS = ("personas", "lineage", "rejects")  # the tables that personas.split makes rows of


def _order_personas(hub: Hub, model: Model) -> Order:
    gone = hub.store.table("tombstones").where(F.col("kind") == "document").select(F.col("id").alias("document_id"))
    documents = hub.store.table("documents").join(gone, on="document_id", how="left_anti")
    requests = text_to_persona.build(documents, hub.config)
    return Order(text_to_persona.STAGE, requests, model, text_to_persona.prompts_of(hub.config))


def _examples(hub: Hub, requests: DataFrame, completions: DataFrame) -> DataFrame:
    return fitted(hub, moderated(hub, synthesis.parse(requests, completions, hub.config, hub.run_id)))


@dataclass(frozen=True)
class Paid:
    """A stage that buys.

    model: its name under `models`. parse: requests and completions -> what `split` takes. split: that and a run_id -> the rows of each of
    `tables`. made: the table and the column of the source by which a pair (source, completion) is known to be parsed.
    """

    model: Callable[[Config], str]
    build: Callable[[Hub, Model], Order]
    parse: Callable[[Hub, DataFrame, DataFrame], DataFrame]
    split: Split
    tables: tuple[str, ...]
    made: tuple[str, str]

    def order(self, hub: Hub) -> Order:
        return self.build(hub, hub.config.models[self.model(hub.config)])


PAID: dict[str, Paid] = {
    text_to_persona.STAGE: Paid(
        lambda config: config.text_to_persona.model,
        _order_personas,
        lambda hub, requests, completions: text_to_persona.parse(requests, completions, hub.config, hub.run_id),
        personas.split,
        OF_PERSONAS,
        ("lineage", "parent_id"),
    ),
    "synthesize": Paid(
        lambda config: config.synthesis.model,
        candidates.order,
        _examples,
        synthesis.split,
        ("examples", "rejects"),
        ("examples", "persona_id"),
    ),
}


def finish(hub: Hub, stage: str, split: Split, tables: tuple[str, ...]) -> None:
    """Where a run died between two of its tables, what it was about to insert gets there."""
    left = hub.store.held(stage)
    if left is not None:
        insert_held(hub, stage, split, tables, left)


def buy_and_parse(hub: Hub, stage: str, paid: Paid, judge: Judge | None = None) -> dict[str, int]:
    """Buy, then read the ledger back; what was bought before a budget or an endpoint ended the stage is read back too."""
    finish(hub, stage, paid.split, paid.tables)
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
    unparsed, completions = _unparsed(hub, order, paid), hub.store.table("completions")
    answered = unparsed.join(completions.where("final"), on="completion_id", how="left_semi")
    if answered.isEmpty():  # as when a stage is run once more
        return dict.fromkeys(paid.tables, 0)
    parsed = paid.parse(hub, unparsed, completions)
    return insert_held(hub, order.stage, paid.split, paid.tables, hub.store.hold(parsed, order.stage))


def insert_held(hub: Hub, stage: str, split: Split, tables: tuple[str, ...], parsed: DataFrame) -> dict[str, int]:
    """Into each table what is new. Tables have no common commit: until all are written, `parsed` is held for the next run."""
    counts = insert_all(hub, tables, split(parsed, hub.run_id))
    hub.store.release(stage)
    return counts


def insert_all(hub: Hub, tables: Sequence[str], rows: Sequence[DataFrame]) -> dict[str, int]:
    """`rows`, which lie in files: how many of them each table had not."""
    return {name: hub.store.insert_new(new, name, stored=True) for name, new in zip(tables, rows, strict=True)}


def _unparsed(hub: Hub, order: Order, paid: Paid) -> DataFrame:
    """The requests whose pair (source, completion) has led to no row yet, neither made nor rejected."""
    table, source = paid.made
    made = hub.store.table(table).select(F.col(source).alias("source_id"), "completion_id")
    refused = hub.store.table("rejects").where(F.col("stage") == order.stage).select("source_id", "completion_id")
    return order.requests.join(made.unionByName(refused).distinct(), on=["source_id", "completion_id"], how="left_anti")
