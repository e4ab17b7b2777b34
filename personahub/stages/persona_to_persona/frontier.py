"""The frontier of a hop: the personas that it asks, frozen in `requests` before its first call."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from personahub import prompts
from personahub.inference import RequestBatch, find_pending
from personahub.stages.persona_to_persona import transform
from personahub.stages.persona_to_persona.transform import NAME
from personahub.storage.hub import Hub
from personahub.storage.views import kept_personas, taken_down, without


def batch_of(hub: Hub, hop: int, requests: DataFrame) -> RequestBatch:
    config = hub.config
    model = config.models[config.persona_to_persona.model]
    return RequestBatch(NAME, f"hop {hop}", requests, model, prompts.by_name(transform.PROMPT), counts={"hop": hop})


def hop_of(batch: RequestBatch) -> int:
    return batch.counts["hop"]


def wanted(hub: Hub, hop: int) -> RequestBatch:
    """What one hop would ask, as the tables stand, what it has asked included. Nothing is frozen by that."""
    return batch_of(hub, hop, requests(hub, hop).unionByName(transform.build(frontier(hub, hop), hub.config)))


def next_batch(hub: Hub) -> RequestBatch:
    """What the first hop would ask that has something to ask."""
    for hop in range(1, max(1, hub.config.persona_to_persona.hops) + 1):
        batch = wanted(hub, hop)
        if find_pending(hub.store, batch).calls:
            break
    return batch


def freeze(hub: Hub, hop: int) -> None:
    """Put the requests of the frontier that are not in `requests` yet there, and those of another model or prompt under their new ids."""
    frozen, key = hub.store.table("requests"), ["stage", "source_id", "sample_index"]
    others = requests(hub, hop).join(frozen.select(*key, "completion_id"), on=[*key, "completion_id"], how="left_anti")
    if not others.isEmpty():
        others = hub.store.materialise(others.select(*frozen.columns), f"{NAME}.other-ids")
        kept = frozen.join(others, on=key, how="left_anti").select(*frozen.columns)
        hub.store.replace(kept.unionByName(others), "requests")
    hub.store.insert_new(transform.build(frontier(hub, hop), hub.config), "requests")


def frontier(hub: Hub, hop: int) -> DataFrame:
    """The personas that a hop asks, as the tables stand: persona_id, persona, asked (relations they were asked for before, or null)."""
    found = kept_of(hub, hop - 1).join(_asked(hub), on="persona_id", how="left").select("persona_id", "persona", "asked")
    most = hub.config.persona_to_persona.max_frontier
    return found if most is None else _drawn(hub, found, hop, most)


def kept_of(hub: Hub, hop: int) -> DataFrame:
    """The kept personas of one hop."""
    return kept_personas(hub.store.table).where(F.col("hop") == hop)


def requests(hub: Hub, hop: int) -> DataFrame:
    """The frozen requests of one hop, without those of personas taken down since.

    Those that no answer was bought for have the ids of the model and the prompt that are asked now: these may have changed since.
    """
    table = hub.store.table
    parents = table("personas").where(F.col("hop") == hop - 1).select(F.col("persona_id").alias("source_id"))
    frozen = table("requests").where(F.col("stage") == NAME).join(parents, on="source_id", how="left_semi")
    standing = without(frozen, "source_id", taken_down(table, "persona"))
    answered = table("completions").where("final").select("completion_id")
    unanswered = standing.join(answered, on="completion_id", how="left_anti")
    return standing.join(answered, on="completion_id", how="left_semi").unionByName(transform.rebuilt(unanswered, hub.config))


def _asked(hub: Hub) -> DataFrame:
    """persona_id, asked: the relations that each was asked for, by its frozen requests."""
    frozen = hub.store.table("requests").where(F.col("stage") == NAME)
    relations = F.from_json("variables", "relations array<struct<name: string>>").getField("relations")
    names = F.transform(relations, lambda relation: relation.getField("name"))
    each = frozen.select(F.col("source_id").alias("persona_id"), F.explode(names).alias("name"))
    return each.groupBy("persona_id").agg(F.collect_set("name").alias("asked"))


def _drawn(hub: Hub, found: DataFrame, hop: int, most: int) -> DataFrame:
    """Those asked before, and of the others as many as `most` leaves room for, by a hash of their ids."""
    settings = hub.config.persona_to_persona
    before = found.where(F.col("asked").isNotNull())
    room = max(0, most - before.count())
    others = found.where(F.col("asked").isNull()).withColumn("place", F.xxhash64("persona_id", F.lit(hop)))
    order = [F.col("place"), F.col("persona_id")]
    if settings.frontier_sampling == "by_root":
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
