"""Parquet files, also of several schemas and below folders that name a column, as in lang=en/a.parquet, on every engine."""

import re
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from pyarrow import parquet
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from personahub import engines

_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"


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


def partitions(paths: Sequence[str], folder: str | None) -> tuple[list[pa.Field], list[list[int | str | None]]]:
    """The columns that names of folders make, and their values for each file."""
    found: list[dict[str, str | None]] = []
    for path in paths:
        pairs = [part.partition("=") for part in Path(path).relative_to(folder).parts[:-1] if "=" in part] if folder else []
        found.append({unquote(key): None if value == _NULL_PARTITION else unquote(value) for key, _, value in pairs})
    fields, columns = [], []
    for key in dict.fromkeys(key for values in found for key in values):
        column: list[Any] = [values.get(key) for values in found]
        whole = all(re.fullmatch(r"-?[0-9]{1,18}", value) for value in column if value is not None)
        fields.append(pa.field(key, pa.int64() if whole else pa.string()))
        columns.append([int(value) if whole and value is not None else value for value in column])
    return fields, [list(row) for row in zip(*columns, strict=True)] or [[] for _ in paths]
