"""How a persona fits the topic, or the constraint, that it was asked about: the cosine of their vectors goes with the example.

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
from personahub.stages.synthesize.persona_selection import people_of
from personahub.stages.synthesize.results import NAME, PARSED
from personahub.stages.synthesize.tasks import Task, choose
from personahub.storage.hub import Estimate, Hub

WITH_TOPIC = T.StructType([*PARSED, T.StructField("topic", T.StringType()), T.StructField("topic_id", T.StringType())])


PURPOSE = "topic similarity"
TEXTS = T.StructType([T.StructField("id", T.StringType()), T.StructField("text", T.StringType())])


def with_similarity(hub: Hub, parsed: DataFrame) -> Rounds:
    """PARSED -> PARSED with `fit`, where synthesis.topic_similarity is set and a topic or a constraint was set. Vectors are bought once."""
    if not hub.config.synthesis.topic_similarity:
        return parsed
    parsed = hub.store.materialise(map_rows(parsed, with_topic, WITH_TOPIC), "synthesize.fit")
    asked = parsed.where(F.col("topic").isNotNull())
    people = hub.store.table("personas").select(F.col("persona_id").alias("id"), F.col("persona").alias("text"))
    people = people.join(asked.select(F.col("source_id").alias("id")).distinct(), on="id", how="left_semi")
    topics = asked.select(F.col("topic_id").alias("id"), F.col("topic").alias("text")).distinct()
    wanted = people.unionByName(topics)
    if not wanted.isEmpty():
        yield embeddings.batch_of(hub, wanted, NAME, PURPOSE)
    vectors = embeddings.vectors(hub).select("id", "vector")
    mine = vectors.select(F.col("id").alias("source_id"), F.col("vector").alias("mine"))
    theirs = vectors.select(F.col("id").alias("topic_id"), F.col("vector").alias("theirs"))
    return scored(parsed.join(mine, on="source_id", how="left").join(theirs, on="topic_id", how="left"))


def estimates(hub: Hub) -> list[Estimate]:
    """The vectors of all topics and of all personas that may be asked."""
    topics = {topic for task in choose(hub.config).values() for topic in topics_of(task)}
    if not hub.config.synthesis.topic_similarity or not topics:
        return []
    people = people_of(hub).select(F.col("persona_id").alias("id"), F.col("persona").alias("text"))
    texts = people.unionByName(frame(hub.spark, [(id_of(topic), topic) for topic in sorted(topics)], TEXTS))
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
    """WITH_TOPIC and two vectors (mine, theirs; null where there is none) -> PARSED with their cosine; null without two of a length."""
    return map_rows(
        rows.select(*(name for name in PARSED.names if name != "topic_similarity"), "mine", "theirs"), _scored, PARSED
    )


def _scored(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    fit = None
    if row["mine"] is not None and row["theirs"] is not None:
        mine, theirs = (np.array(row[name], np.float64) for name in ("mine", "theirs"))
        length = np.sqrt((mine * mine).sum() * (theirs * theirs).sum())
        fit = float((mine * theirs).sum() / length) if length else None
    yield {**{name: row.get(name) for name in PARSED.names}, "topic_similarity": fit}
