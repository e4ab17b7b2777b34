"""Whom synthesis asks: kept personas, drawn by a hash of their ids, and as many as it takes where so many accepted examples are wanted."""

from collections.abc import Mapping
from functools import reduce

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from personahub import synthesis
from personahub.buy import Order
from personahub.config import Model
from personahub.personas import kept
from personahub.pipeline.hub import Hub
from personahub.pipeline.synthesize import shown
from personahub.synthesis import choose


def order(hub: Hub, model: Model) -> Order:
    """What is asked first: all that there is to ask or, with synthesis.accepted, as many candidates a task."""
    accepted = hub.config.synthesis.accepted
    if accepted is None:
        people, pool = shown.with_vectors(hub, people_of(hub), shown.examples(hub))
        return _order(hub, model, synthesis.build(people, hub.config, None, pool))
    return more(hub, model, dict.fromkeys(choose(hub.config), (0, accepted)))


def more(hub: Hub, model: Model, places: Mapping[str, tuple[int, int]]) -> Order:
    """By the keys of tasks, the candidates from one place of their order to another."""
    people, pool = shown.with_vectors(hub, people_of(hub), shown.examples(hub))
    seed = hub.config.synthesis.seed
    asked = [synthesis.build(_between(people, seed, key, *ends), hub.config, [key], pool) for key, ends in places.items()]
    return _order(hub, model, reduce(DataFrame.unionByName, asked))


def _order(hub: Hub, model: Model, requests: DataFrame) -> Order:
    return Order(synthesis.STAGE, requests, model, synthesis.prompts_of(hub.config))


def people_of(hub: Hub) -> DataFrame:
    """The kept personas, or max_personas of them: all alike or, by_hop, as many of each hop as there is room for."""
    table, settings = hub.store.table, hub.config.synthesis
    people = kept(table("personas"), table("duplicates"), table("tombstones"), table("rejects"))
    if settings.max_personas is None:
        return people
    people = people.withColumn("place", F.xxhash64("persona_id", F.lit(f"synthesis {settings.seed}")))
    order = [F.col("place"), F.col("persona_id")]
    if settings.persona_draw == "by_hop":
        turn = F.row_number().over(Window.partitionBy("hop").orderBy(*order))
        people, order = people.withColumn("turn", turn), [F.col("turn"), *order]
    return people.orderBy(*order).limit(settings.max_personas).select("persona_id", "persona", "hop")


def _between(people: DataFrame, seed: int, key: str, begin: int, end: int) -> DataFrame:
    """Those from place `begin` to before `end` in the order of a task, which is the same however many are asked."""
    order = [F.xxhash64("persona_id", F.lit(f"{key} {seed}")), F.col("persona_id")]
    first = people.orderBy(*order).limit(end)
    place = F.row_number().over(Window.orderBy(*order))
    return first.withColumn("place", place).where(F.col("place") > begin).drop("place")
