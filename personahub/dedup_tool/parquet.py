"""Parquet files, also of several schemas and below folders that name a column, on every engine."""

from collections.abc import Sequence
from functools import reduce

import pyarrow as pa
from pyarrow import parquet
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from personahub import engines
from personahub.dedup_tool.folders import partitions


def read(spark: SparkSession, files: Sequence[str], folder: str | None) -> DataFrame:
    """The rows of all files: the columns of each, null where a file has none of that name, and those that names of folders below `folder`
    make. files: local ones, which can be read, or one URL.
    """
    if "://" in files[0] or not engines.is_embedded(spark):
        reader = spark.read.option("basePath", folder) if folder else spark.read
        merge = "true" if len(files) > 1 else "false"  # else the columns of one file would stand for all
        return reader.option("mergeSchema", merge).parquet(*files)
    # the embedded engine reads together only files of one schema, and sees no folder above them
    fields, values = partitions(files, folder)
    alike: dict[tuple[str, tuple[int | str | None, ...]], list[str]] = {}
    for file, of_file in zip(files, values, strict=True):
        alike.setdefault((str(parquet.read_schema(file).remove_metadata()), tuple(of_file)), []).append(file)
    frames = []
    for (_, of_files), paths in alike.items():
        frame = spark.read.parquet(*paths)
        for field, value in zip(fields, of_files, strict=True):
            frame = frame.withColumn(field.name, F.lit(value).cast("bigint" if pa.types.is_integer(field.type) else "string"))
        frames.append(frame)
    return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), frames)
