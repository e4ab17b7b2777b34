"""How a persona fits the topic it is asked about: the cosine of their vectors goes with the example, and decides nothing."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub import synthesis
from personahub.pipeline import semantic
from personahub.pipeline.hub import Hub
from personahub.rows import map_rows
from personahub.synthesis import fit

SCRATCH = "synthesize.fit"


def fitted(hub: Hub, parsed: DataFrame) -> DataFrame:
    """PARSED -> PARSED with `fit`, where synthesis.fit is embedding and a topic or a constraint was set. Vectors are bought once."""
    if hub.config.synthesis.fit == "none":
        return parsed
    parsed = hub.store.materialise(map_rows(parsed, fit.with_topic, fit.WITH_TOPIC), SCRATCH)
    asked = parsed.where(F.col("topic").isNotNull())
    people = hub.store.table("personas").select(F.col("persona_id").alias("source_id"), F.col("persona").alias("text"))
    people = people.join(asked.select("source_id").distinct(), on="source_id", how="left_semi")
    topics = asked.select(F.col("topic_id").alias("id"), F.col("topic").alias("text")).distinct()
    wanted = people.withColumnRenamed("source_id", "id").unionByName(topics)
    if not wanted.isEmpty():
        semantic.obtain(hub, wanted, synthesis.STAGE)
    vectors = semantic.vectors(hub).select("id", "vector")
    mine = vectors.select(F.col("id").alias("source_id"), F.col("vector").alias("mine"))
    theirs = vectors.select(F.col("id").alias("topic_id"), F.col("vector").alias("theirs"))
    return fit.scored(parsed.join(mine, on="source_id", how="left").join(theirs, on="topic_id", how="left"))
