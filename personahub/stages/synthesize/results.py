"""What answers became, before it goes into tables: an example or a reject a row."""

from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from personahub import ids, schemas
from personahub.schemas import RAW_CHARACTERS
from personahub.text import storable

NAME = "synthesize"

_STRING = T.StringType()
PARSED = T.StructType(
    [
        T.StructField("example_id", _STRING),
        T.StructField("task", _STRING),
        T.StructField("mode", _STRING),
        T.StructField("settings", _STRING),  # canonical JSON: the parameters of the request, as the configuration gave them
        T.StructField("source_id", _STRING),  # the persona
        T.StructField("completion_id", _STRING),
        T.StructField("model", _STRING),
        T.StructField("content", _STRING),  # canonical JSON by the task's schema
        T.StructField("topic_similarity", T.DoubleType()),  # how the persona fits the topic; null where that was not measured
        T.StructField("reason", _STRING),  # null: an example; else a reject
        T.StructField("detail", _STRING),
        T.StructField("raw", _STRING),
        T.StructField("reject_id", _STRING),
    ]
)


def refused(source_id: str, completion_id: str, reason: str, detail: str | None, raw: str | None) -> dict[str, Any]:
    """The columns of PARSED that make a row a reject."""
    return {
        "reason": reason,
        "detail": storable(detail, 500),
        "raw": storable(raw, RAW_CHARACTERS),
        "reject_id": ids.reject_id(NAME, source_id, completion_id, reason),
    }


def number_of(*identity: Column | str) -> Column:
    """The sample number of a request that hangs on others: the same for it under another prompt version or model."""
    return F.pmod(F.xxhash64(*identity), F.lit(2**31 - 1)).cast("int")


def split(parsed: DataFrame, run_id: str) -> tuple[DataFrame, DataFrame]:
    """PARSED -> (examples, rejects), each by its table's schema."""
    marked = parsed.withColumn("run_id", F.lit(run_id)).withColumn("stage", F.lit(NAME))
    examples = marked.where(F.col("reason").isNull()).withColumns({"persona_id": F.col("source_id"), "synthetic": F.lit(True)})
    rejects = marked.where(F.col("reason").isNotNull())
    return examples.select(*schemas.EXAMPLES.names), rejects.select(*schemas.REJECTS.names)
