"""What a persona is measured against: the topic of its request, or the constraint."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import orjson
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from personahub.ids import content_id
from personahub.synthesis.parsed import PARSED
from personahub.synthesis.tasks import Task

WITH_TOPIC = T.StructType([*PARSED, T.StructField("topic", T.StringType()), T.StructField("topic_id", T.StringType())])


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
    """WITH_TOPIC and two vectors (mine, theirs; null where there is none) -> PARSED with their cosine."""

    def dot(one: str, other: str) -> Any:
        products = F.zip_with(one, other, lambda a, b: a.cast("double") * b.cast("double"))
        return F.aggregate(products, F.lit(0.0), lambda total, product: total + product)

    cosine = dot("mine", "theirs") / F.sqrt(dot("mine", "mine") * dot("theirs", "theirs"))
    return rows.withColumn("fit", cosine).select(*PARSED.names)
