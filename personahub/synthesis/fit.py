"""What a persona is measured against: the topic of its request, or the constraint."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from personahub.ids import content_id
from personahub.synthesis.parsed import PARSED

WITH_TOPIC = T.StructType([*PARSED, T.StructField("topic", T.StringType()), T.StructField("topic_id", T.StringType())])


def with_topic(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A row of PARSED -> of WITH_TOPIC; topic is null where none was set."""
    settings = orjson.loads(row["settings"] or "{}")
    topic = settings.get("topic") or settings.get("constraint")
    yield {**row, "topic": topic, "topic_id": None if topic is None else content_id(topic)}


def scored(rows: DataFrame) -> DataFrame:
    """WITH_TOPIC and two vectors (mine, theirs; null where there is none) -> PARSED with their cosine."""

    def dot(one: str, other: str) -> Any:
        products = F.zip_with(one, other, lambda a, b: a.cast("double") * b.cast("double"))
        return F.aggregate(products, F.lit(0.0), lambda total, product: total + product)

    cosine = dot("mine", "theirs") / F.sqrt(dot("mine", "mine") * dot("theirs", "theirs"))
    return rows.withColumn("fit", cosine).select(*PARSED.names)
