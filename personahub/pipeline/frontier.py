"""Whom a hop asks: its frontier, frozen in `requests` before its first call, and the orders made of that."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from personahub import persona_to_persona
from personahub.buy import Order, find_missing
from personahub.config import Config
from personahub.personas import kept
from personahub.pipeline.hub import Hub

STAGE = persona_to_persona.STAGE


def order_of(hub: Hub, requests: DataFrame) -> Order:
    config = hub.config
    return Order(STAGE, requests, config.models[model_of(config)], persona_to_persona.prompts_of(config))


def wanted(hub: Hub, hop: int) -> Order:
    """What one hop would ask, as the tables stand, what it has asked included. Nothing is frozen by that."""
    return order_of(hub, requests(hub, hop).unionByName(persona_to_persona.build(frontier(hub, hop), hub.config)))


def next_order(hub: Hub) -> Order:
    """What the first hop would ask that has something to ask."""
    for hop in range(1, max(1, hub.config.persona_to_persona.hops) + 1):
        order = wanted(hub, hop)
        if find_missing(hub.store, order).calls:
            break
    return order


def model_of(config: Config) -> str:
    return config.persona_to_persona.model


def freeze(hub: Hub, hop: int) -> None:
    """Put the requests of those who are to be asked in a hop, and have not been, into `requests`."""
    hub.store.insert_new(persona_to_persona.build(frontier(hub, hop), hub.config), "requests")


def frontier(hub: Hub, hop: int) -> DataFrame:
    """Those who are to be asked in a hop, as the tables stand: persona_id, persona, asked (relations they were asked for, or null)."""
    found = kept_of(hub, hop - 1).join(_asked(hub), on="persona_id", how="left").select("persona_id", "persona", "asked")
    return found if hub.config.persona_to_persona.max_frontier is None else _drawn(hub, found, hop)


def kept_of(hub: Hub, hop: int) -> DataFrame:
    """The kept personas of one hop."""
    table = hub.store.table
    return kept(table("personas"), table("duplicates"), table("tombstones"), table("rejects")).where(F.col("hop") == hop)


def requests(hub: Hub, hop: int) -> DataFrame:
    """Those of one hop, as they were frozen, without those of personas taken down since."""
    table = hub.store.table
    parents = table("personas").where(F.col("hop") == hop - 1).select(F.col("persona_id").alias("source_id"))
    gone = table("tombstones").where(F.col("kind") == "persona").select(F.col("id").alias("source_id"))
    frozen = table("requests").where(F.col("stage") == STAGE)
    return frozen.join(parents, on="source_id", how="left_semi").join(gone, on="source_id", how="left_anti")


def _asked(hub: Hub) -> DataFrame:
    """persona_id, asked: the relations that each was asked for, by its frozen requests."""
    frozen = hub.store.table("requests").where(F.col("stage") == STAGE)
    relations = F.from_json("variables", "relations array<struct<name: string>>").getField("relations")
    names = F.transform(relations, lambda relation: relation.getField("name"))
    each = frozen.select(F.col("source_id").alias("persona_id"), F.explode(names).alias("name"))
    return each.groupBy("persona_id").agg(F.collect_set("name").alias("asked"))


def _drawn(hub: Hub, found: DataFrame, hop: int) -> DataFrame:
    """Those asked before, and of the others as many as max_frontier leaves room for, by a hash of their ids."""
    settings = hub.config.persona_to_persona
    before = found.where(F.col("asked").isNotNull())
    room = max(0, settings.max_frontier - before.count())
    others = found.where(F.col("asked").isNull()).withColumn("place", F.xxhash64("persona_id", F.lit(hop)))
    order = [F.col("place"), F.col("persona_id")]
    if settings.frontier_draw == "by_root":
        others = others.join(_roots(hub, hop), on="persona_id", how="left")
        turn = F.row_number().over(Window.partitionBy("root").orderBy(*order))
        others, order = others.withColumn("turn", turn), [F.col("turn"), *order]
    return before.unionByName(others.orderBy(*order).limit(room).select(*before.columns))


def _roots(hub: Hub, hop: int) -> DataFrame:
    """persona_id of the personas of the hop before, root: what the first discovery of each goes back to."""
    personas, lineage = hub.store.table("personas").select("persona_id", "hop"), hub.store.table("lineage")
    roots = personas.where(F.col("hop") == hop - 1).select("persona_id", F.col("persona_id").alias("at"))
    for above in range(hop - 2, -2, -1):
        parents = lineage
        if above >= 0:
            named = personas.where(F.col("hop") == above).select(F.col("persona_id").alias("parent_id"))
            parents = lineage.join(named, on="parent_id", how="left_semi")
        first = parents.groupBy("child_id").agg(F.min(F.struct("completion_id", "parent_id")).alias("first"))
        up = first.select(F.col("child_id").alias("at"), F.col("first.parent_id").alias("next"))
        roots = roots.join(up, on="at", how="left").select("persona_id", F.coalesce("next", "at").alias("at"))
    return roots.withColumnRenamed("at", "root")
