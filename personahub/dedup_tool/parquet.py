"""Parquet files, also of several schemas and below folders that name a column, as in lang=en/a.parquet, on every engine."""

import re
from collections.abc import Iterator, Sequence
from functools import reduce
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from pyarrow import parquet
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from personahub import engines
from personahub.errors import InputError

_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
NOT_KEPT = "results cannot hold the column"
# types that engines do not have, and those that hold each of their values
_EXACT = {
    pa.null(): pa.string(),
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
    pa.float16(): pa.float32(),
    pa.string_view(): pa.string(),
    pa.binary_view(): pa.binary(),
}


def read(spark: SparkSession, files: Sequence[str], folder: str | None) -> DataFrame:
    """The rows of all files: the columns of each, null where a file has none of that name, and those that names of folders below `folder`
    make. files: local ones, which can be read, or one URL.
    """
    local = "://" not in files[0]
    schemas = [parquet.read_schema(file).remove_metadata() for file in files] if local else []
    stored = [_storable(schema) for schema in schemas]
    if not local or (stored == schemas and not engines.is_embedded(spark)):
        reader = spark.read.option("basePath", folder) if folder else spark.read
        merge = "true" if len(files) > 1 else "false"  # else the columns of one file would stand for all
        return reader.option("mergeSchema", merge).parquet(*files)
    # the embedded engine reads together only files of one schema, and sees no folder above them
    fields, values = partitions(files, folder)
    alike: dict[tuple[pa.Schema, pa.Schema, tuple[int | str | None, ...]], list[str]] = {}
    for file, schema, target, of_file in zip(files, schemas, stored, values, strict=True):
        alike.setdefault((schema, target, tuple(of_file)), []).append(file)
    frames = []
    for (schema, target, of_files), paths in alike.items():
        frame = spark.read.parquet(*paths) if schema == target else _converted(spark, paths, target)
        for field, value in zip(fields, of_files, strict=True):
            frame = frame.withColumn(field.name, F.lit(value).cast("bigint" if pa.types.is_integer(field.type) else "string"))
        frames.append(frame)
    return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), frames)


def _converted(spark: SparkSession, paths: Sequence[str], target: pa.Schema) -> DataFrame:
    """Files whose types no engine has, one a task: each value is the same in the type that `target` has for it."""

    def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for numbers in batches:
            for number in numbers.column(0).to_pylist():
                with parquet.ParquetFile(paths[number]) as file:
                    for batch in file.iter_batches():
                        columns = [_cast(*each) for each in zip(batch.columns, target, strict=True)]
                        yield pa.RecordBatch.from_arrays(columns, schema=target)

    return spark.range(0, len(paths), 1, len(paths)).mapInArrow(task, from_arrow_schema(target))


def _cast(column: pa.Array, field: pa.Field) -> pa.Array:
    try:
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"{NOT_KEPT} {field.name!r} as it is, of type {column.type}: {error}") from None


def _storable(schema: pa.Schema) -> pa.Schema:
    """The schema with types that engines have. Raises InputError for a column of which there is none."""
    fields = []
    for field in schema:
        kind = _storable_type(field.type)
        if kind is None:
            raise InputError(
                f"{NOT_KEPT} {field.name!r} as it is, of type {field.type}, which Spark's tables do not have: drop or cast it"
            )
        fields.append(field.with_type(kind))
    return pa.schema(fields)


def _storable_type(kind: pa.DataType) -> pa.DataType | None:
    if pa.types.is_dictionary(kind) or isinstance(kind, pa.BaseExtensionType):
        return _storable_type(kind.value_type if pa.types.is_dictionary(kind) else kind.storage_type)
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz) if kind.unit == "ns" else kind
    if pa.types.is_struct(kind):
        inner = [(field, _storable_type(field.type)) for field in kind]
        return None if any(of is None for _, of in inner) else pa.struct([field.with_type(of) for field, of in inner])
    if pa.types.is_map(kind):
        key, item = _storable_type(kind.key_type), _storable_type(kind.item_type)
        return (
            None
            if key is None or item is None
            else kind
            if (key, item) == (kind.key_type, kind.item_type)
            else pa.map_(key, item)
        )
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        item = _storable_type(kind.value_type)
        same = item == kind.value_type and pa.types.is_list(kind)
        return None if item is None else kind if same else pa.list_(item)
    if pa.types.is_time(kind) or pa.types.is_duration(kind) or pa.types.is_interval(kind) or pa.types.is_decimal256(kind):
        return None
    return _EXACT.get(kind, kind)


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
