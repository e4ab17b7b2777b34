"""Which personas synthesis asks: kept ones, drawn by a hash of their ids, as many as synthesis.max_personas allows."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from personahub.storage.hub import Hub
from personahub.storage.views import kept_personas


def chosen_personas(hub: Hub) -> DataFrame:
    """The kept personas, or max_personas of them: uniformly or, by_hop, as many of each hop as there is room for."""
    settings, personas = hub.config.synthesis, kept_personas(hub.store.table)
    if settings.max_personas is None:
        return personas
    personas = personas.withColumn("place", F.xxhash64("persona_id", F.lit(f"synthesis {settings.seed}")))
    order = [F.col("place"), F.col("persona_id")]
    if settings.persona_sampling == "by_hop":
        turn = F.row_number().over(Window.partitionBy("hop").orderBy(*order))
        personas, order = personas.withColumn("turn", turn), [F.col("turn"), *order]
    return personas.orderBy(*order).limit(settings.max_personas).select("persona_id", "persona", "hop")


def between(personas: DataFrame, seed: int, key: str, begin: int, end: int) -> DataFrame:
    """The personas from place `begin` to before `end` in the order of a task, which is the same however many are asked."""
    order = [F.xxhash64("persona_id", F.lit(f"{key} {seed}")), F.col("persona_id")]
    first = personas.orderBy(*order).limit(end)
    place = F.row_number().over(Window.orderBy(*order))
    return first.withColumn("place", place).where(F.col("place") > begin).drop("place")
