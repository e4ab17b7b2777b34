"""What a persona is measured against: the topic of its request, or the constraint."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np
import orjson
from pyspark.sql import DataFrame
from pyspark.sql import types as T

from personahub.ids import content_id
from personahub.rows import map_rows
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
    """WITH_TOPIC and two vectors (mine, theirs; null where there is none) -> PARSED with their cosine; null without two of a length."""
    return map_rows(rows.select(*(name for name in PARSED.names if name != "fit"), "mine", "theirs"), _scored, PARSED)


def _scored(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    fit = None
    if row["mine"] is not None and row["theirs"] is not None:
        mine, theirs = (np.array(row[name], np.float64) for name in ("mine", "theirs"))
        length = np.sqrt((mine * mine).sum() * (theirs * theirs).sum())
        fit = float((mine * theirs).sum() / length) if length else None
    yield {**{name: row.get(name) for name in PARSED.names}, "fit": fit}
