"""How near a persona is to the topic, or the constraint, of its request: the cosine of their vectors, a column of the example.

It decides nothing.
"""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np
import orjson
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from personahub import embeddings
from personahub.ids import content_id
from personahub.rows import frame, map_rows
from personahub.stages.stage import Rounds
from personahub.stages.synthesize.persona_selection import chosen_personas
from personahub.stages.synthesize.results import NAME, PARSED
from personahub.stages.synthesize.tasks import Task, choose
from personahub.storage.hub import Estimate, Hub

WITH_TOPIC = T.StructType([*PARSED, T.StructField("topic", T.StringType()), T.StructField("topic_id", T.StringType())])


PURPOSE = "topic similarity"
TEXTS = T.StructType([T.StructField("id", T.StringType()), T.StructField("text", T.StringType())])


def with_similarity(hub: Hub, parsed: DataFrame) -> Rounds:
    """PARSED -> PARSED with topic_similarity: the cosine of persona and topic (or constraint) of each row that was given one.

    Rounds: yields one batch of the vectors that the ledger lacks. Does nothing unless synthesis.topic_similarity is set.
    """
    if not hub.config.synthesis.topic_similarity:
        return parsed
    parsed = hub.store.materialise(map_rows(parsed, with_topic, WITH_TOPIC), "synthesize.topics")
    asked = parsed.where(F.col("topic").isNotNull())
    personas = hub.store.table("personas").select(F.col("persona_id").alias("id"), F.col("persona").alias("text"))
    personas = personas.join(asked.select(F.col("source_id").alias("id")).distinct(), on="id", how="left_semi")
    topics = asked.select(F.col("topic_id").alias("id"), F.col("topic").alias("text")).distinct()
    wanted = personas.unionByName(topics)
    if not wanted.isEmpty():
        yield embeddings.batch_of(hub, wanted, NAME, PURPOSE)
    vectors = embeddings.vectors(hub).select("id", "vector")
    of_persona = vectors.select(F.col("id").alias("source_id"), F.col("vector").alias("persona_vector"))
    of_topic = vectors.select(F.col("id").alias("topic_id"), F.col("vector").alias("topic_vector"))
    return scored(parsed.join(of_persona, on="source_id", how="left").join(of_topic, on="topic_id", how="left"))


def estimates(hub: Hub) -> list[Estimate]:
    """The vectors of all topics and of all personas that may be asked."""
    topics = {topic for task in choose(hub.config).values() for topic in topics_of(task)}
    if not hub.config.synthesis.topic_similarity or not topics:
        return []
    personas = chosen_personas(hub).select(F.col("persona_id").alias("id"), F.col("persona").alias("text"))
    texts = personas.unionByName(frame(hub.spark, [(id_of(topic), topic) for topic in sorted(topics)], TEXTS))
    return embeddings.estimate(hub, embeddings.batch_of(hub, texts, NAME, PURPOSE))


def with_topic(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A row of PARSED -> of WITH_TOPIC; topic is null where none was set."""
    topic = _topic(orjson.loads(row["settings"] or "{}"))
    yield {**row, "topic": topic, "topic_id": None if topic is None else id_of(topic)}


def topics_of(task: Task) -> set[str]:
    """All that its requests can be about."""
    drawn = [dict(zip(task.drawn, values, strict=True)) for values in product(*task.drawn.values())]
    return {topic for each in drawn if (topic := _topic({**task.settings, **each})) is not None}


def id_of(topic: str) -> str:
    """Its name in the ledger of vectors."""
    return content_id(topic)


def _topic(settings: Mapping[str, Any]) -> str | None:
    return settings.get("topic") or settings.get("constraint")


def scored(rows: DataFrame) -> DataFrame:
    """WITH_TOPIC, persona_vector, topic_vector (null where there is none) -> PARSED with their cosine, or null."""
    columns = (name for name in PARSED.names if name != "topic_similarity")
    return map_rows(rows.select(*columns, "persona_vector", "topic_vector"), _scored, PARSED)


def _scored(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    cosine = None
    if row["persona_vector"] is not None and row["topic_vector"] is not None:
        persona, topic = (np.array(row[name], np.float64) for name in ("persona_vector", "topic_vector"))
        length = np.sqrt((persona * persona).sum() * (topic * topic).sum())
        cosine = float((persona * topic).sum() / length) if length else None
    yield {**{name: row.get(name) for name in PARSED.names}, "topic_similarity": cosine}
