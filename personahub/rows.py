"""Rows between Spark and Python: a plain function over each row, as Arrow batches of an explicit schema."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

BATCH = 256  # rows made at once
Materialise = Callable[[DataFrame, str], DataFrame]  # writes rows once, under a name, and returns what it wrote
_ARROW = {
    T.StringType(): pa.string(),
    T.LongType(): pa.int64(),
    T.IntegerType(): pa.int32(),
    T.DoubleType(): pa.float64(),
    T.BooleanType(): pa.bool_(),
    T.TimestampType(): pa.timestamp("us", tz="UTC"),
    T.BinaryType(): pa.binary(),
    T.ArrayType(T.FloatType()): pa.list_(pa.float32()),
    T.ArrayType(T.StringType()): pa.list_(pa.string()),
    T.MapType(T.StringType(), T.LongType()): pa.map_(pa.string(), pa.int64()),
    T.MapType(T.StringType(), T.DoubleType()): pa.map_(pa.string(), pa.float64()),
}


def arrow_schema(schema: T.StructType) -> pa.Schema:
    """A batch is built with this: a mismatch of int and long would fail in Spark without naming the column."""
    return pa.schema([(field.name, _ARROW[field.dataType]) for field in schema])


def frame(spark: SparkSession, rows: Iterable[Sequence[Any]], schema: T.StructType) -> DataFrame:
    """Rows that were made here. Through Arrow: of a list, even of an empty one, Spark makes work for several Python workers."""
    made = [dict(zip(schema.names, row, strict=True)) for row in rows]
    return spark.createDataFrame(pa.Table.from_pylist(made, schema=arrow_schema(schema)), schema)


def map_rows(rows: DataFrame, one: Callable[[Mapping[str, Any]], Iterable[dict[str, Any]]], schema: T.StructType) -> DataFrame:
    """`one` over each row of `rows`, in `mapInArrow`; the rows that it makes have the columns of `schema`."""

    def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        arrow = arrow_schema(schema)
        for batch in batches:
            for start in range(0, batch.num_rows, BATCH):
                made = [result for row in batch.slice(start, BATCH).to_pylist() for result in one(row)]
                yield pa.RecordBatch.from_pylist(made, schema=arrow)

    return rows.mapInArrow(task, schema)
