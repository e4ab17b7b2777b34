"""Reading JSON lines, the same on every engine: the types of columns are those that Spark infers.

The files are read twice, one file a task: for the types, and for the rows. Blocks of lines go to Arrow's reader, which is fast and does
not hold the interpreter lock; lines that it refuses, or would read otherwise than JSON is defined, go to orjson.
"""

import json
import re
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from personahub.dedup_tool.parquet import partitions
from personahub.documents.files import DAMAGE, Place, line_blocks, select
from personahub.documents.json_lines import parse
from personahub.errors import InputError

UNREADABLE = "_personahub_unreadable"  # the text of a line that is no JSON object
BLOCK_BYTES = 8 << 20
MAX_DEPTH = 16  # of types: engines pass them on as messages whose nesting is limited
# Arrow's reader overflows the stack where values are nested deeply. A line of fewer opening brackets is not
_MAX_BRACKETS = 200
_EXACT = 2**53  # whole numbers beyond it are "long": among doubles they would be rounded
_LONG_NUMBER = re.compile(rb"[\s:,\[-]\d{16,}(?![\d.eE])")
_SCALARS = {
    "null": pa.string(),
    "bool": pa.bool_(),
    "int": pa.int64(),
    "long": pa.int64(),
    "double": pa.float64(),
    "string": pa.string(),
}

# the type of a value: a name of _SCALARS, [type of the elements] or {name: type}. It is sent as JSON
_Kind = str | list[Any] | dict[str, Any]
_Batches = Iterator[pa.RecordBatch]


def read(spark: SparkSession, name: str, files: Sequence[str], folder: str | None = None) -> DataFrame:
    """The rows of plain, .gz, .bz2, .xz or .zst files of JSON lines, and UNREADABLE: null where the line is a JSON object.

    name: the input as the user wrote it; files: local files, or one URL of a file, folder or glob; folder: where names of folders below
    it are like lang=en, they become columns. A column of integers is bigint, of other numbers double, of nulls alone string; where values
    of several types are mixed, or whole numbers have more than 64 bits (beside other numbers: more than 53), it is a string: a JSON
    string as it is, all else as JSON. Blank lines are no rows.

    A job runs, which finds the types. Raises InputError for a damaged file, and where no line is an object that has a key.
    """
    root, paths = _resolved(name, files)
    kinds = _kinds(spark, root, paths)
    if not kinds:
        raise InputError(f"{name} is empty, or no line of it is a JSON object that names its columns")
    if taken := [key for key in kinds if key.lower() == UNREADABLE]:
        raise InputError(f"{name} has a column {taken[0]!r}, a name that is taken: rename it")
    fields, values = partitions(paths, folder)
    replaced = {field.name.lower() for field in fields}
    own = pa.schema([(key, _arrow_type(kind)) for key, kind in kinds.items() if key.lower() not in replaced])
    schema = pa.schema([*own, *fields, (UNREADABLE, pa.string())])

    def task(batches: _Batches) -> _Batches:
        for number in _numbers(batches):
            for columns, unreadable in _parsed(Place(root), paths[number], own):
                same = [
                    pa.repeat(pa.scalar(value, field.type), len(unreadable))
                    for field, value in zip(fields, values[number], strict=True)
                ]
                yield pa.RecordBatch.from_arrays([*columns, *same, unreadable], schema=schema)

    return spark.range(0, len(paths), 1, len(paths)).mapInArrow(task, from_arrow_schema(schema))


def _numbers(batches: _Batches) -> Iterator[int]:
    for batch in batches:
        yield from batch.column(0).to_pylist()


# -- which files -----------------------------------------------------------------------------------------------------------------------


def _resolved(name: str, files: Sequence[str]) -> tuple[str, list[str]]:
    """Where the files lie, and their paths there."""
    if "://" not in files[0]:
        return files[0], list(files)
    url = re.sub(r"^s3[an]://", "s3://", files[0])
    folder, found = select(url, "the input")
    paths = [path for path in found if not any(part.startswith(("_", ".")) for part in path.removeprefix(folder).split("/"))]
    if not paths:
        raise InputError(f"{name} names no file")
    return url, paths


# -- the types -------------------------------------------------------------------------------------------------------------------------


def _kinds(spark: SparkSession, root: str, paths: Sequence[str]) -> dict[str, _Kind]:
    """The types of all columns, in the order in which the files name them."""

    def task(batches: _Batches) -> _Batches:
        for number in _numbers(batches):
            kinds, problem = _kinds_of_file(Place(root), paths[number])
            made = {"file": [number], "kinds": [orjson.dumps(kinds).decode()], "problem": [problem]}
            yield pa.RecordBatch.from_pydict(
                made, schema=pa.schema([("file", pa.int64()), ("kinds", pa.string()), ("problem", pa.string())])
            )

    # the problem is a row, since an exception would come as one of the engine's
    frame = spark.range(0, len(paths), 1, len(paths)).mapInArrow(task, "file long, kinds string, problem string")
    found = sorted(frame.collect(), key=lambda row: row.file)
    for row in found:
        if row.problem is not None:
            raise InputError(f"{paths[row.file]} is damaged, or no jsonl file: {row.problem}")
    return reduce(_merged, (orjson.loads(row.kinds) for row in found), {})


def _kinds_of_file(place: Place, path: str) -> tuple[dict[str, _Kind], str | None]:
    """The types of a file's columns, and why the file cannot be read."""
    kinds: dict[str, _Kind] = {}
    try:
        for block in line_blocks(place, path, BLOCK_BYTES):
            plain, count, lines = _split(block)
            table = _arrow(plain, count, pj.ParseOptions())
            if table is None:
                lines += plain.split(b"\n")
            else:
                found = zip(table.column_names, table.columns, strict=True)
                kinds = _merged(kinds, {name: _kind_of_array(column.combine_chunks()) for name, column in found})
            for line in lines:
                if (record := _object(line)) is not None:
                    kinds = _merged(kinds, _kind_of(record))
    except DAMAGE as error:
        return {}, str(error) or type(error).__name__
    return kinds, None


def _kind_of(value: Any, depth: int = 0) -> Any:
    if isinstance(value, list):
        return [reduce(_merged, (_kind_of(one, depth + 1) for one in value), "null")] if depth < MAX_DEPTH else "string"
    if isinstance(value, dict):
        return {key: _kind_of(one, depth + 1) for key, one in value.items()} if depth < MAX_DEPTH else "string"
    if isinstance(value, int) and not isinstance(value, bool):
        return "int" if abs(value) <= _EXACT else "long" if -(2**63) <= value < 2**63 else "string"
    return {bool: "bool", float: "double", str: "string", type(None): "null"}[type(value)]


def _kind_of_array(array: pa.Array, depth: int = 1) -> Any:
    """Of what Arrow's reader read. A time is a string: the reader knows it by its form alone."""
    kind = array.type
    if pa.types.is_list(kind):
        return [_kind_of_array(array.flatten(), depth + 1)] if depth < MAX_DEPTH else "string"
    if pa.types.is_struct(kind):
        fields = zip([field.name for field in kind], array.flatten(), strict=True)
        return {name: _kind_of_array(one, depth + 1) for name, one in fields} if depth < MAX_DEPTH else "string"
    if kind == pa.int64():
        ends = pc.min_max(array).as_py().values()
        return "long" if any(end is not None and abs(end) > _EXACT for end in ends) else "int"
    return {pa.null(): "null", pa.bool_(): "bool", pa.float64(): "double"}.get(kind, "string")


def _merged(one: Any, other: Any) -> Any:
    """The type that holds values of both."""
    if one == other or other == "null":
        return one
    if one == "null":
        return other
    if isinstance(one, list) and isinstance(other, list):
        return [_merged(one[0], other[0])]
    if isinstance(one, dict) and isinstance(other, dict):
        return one | {key: _merged(one.get(key, "null"), kind) for key, kind in other.items()}
    if {str(one), str(other)} == {"int", "long"}:
        return "long"
    return "double" if {str(one), str(other)} == {"int", "double"} else "string"


def _arrow_type(kind: Any) -> pa.DataType:
    if isinstance(kind, list):
        return pa.list_(_arrow_type(kind[0]))
    if isinstance(kind, dict):
        # no engine stores a struct of no fields, or one whose fields differ only in case
        fits = kind and len({key.lower() for key in kind}) == len(kind)
        return pa.struct([(key, _arrow_type(one)) for key, one in kind.items()]) if fits else pa.string()
    return _SCALARS[kind]


# -- the rows --------------------------------------------------------------------------------------------------------------------------


def _parsed(place: Place, path: str, schema: pa.Schema) -> Iterator[tuple[list[pa.Array], pa.Array]]:
    """Columns of `schema`, and the lines that are no objects: null where it is one."""
    for block in line_blocks(place, path, BLOCK_BYTES):
        plain, count, lines = _split(block)
        table = _arrow(plain, count, pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"))
        if table is None:
            lines += plain.split(b"\n")
        else:
            yield [column.combine_chunks() for column in table.columns], pa.nulls(count, pa.string())
        lines = [line for line in lines if line.strip()]
        if lines:
            records = [_object(line) for line in lines]
            unreadable = [
                line.decode("utf-8", "replace") if record is None else None for line, record in zip(lines, records, strict=True)
            ]
            yield [_column(records, field) for field in schema], pa.array(unreadable, pa.string())


def _column(records: Sequence[dict[str, Any] | None], field: pa.Field) -> pa.Array:
    return pa.array([None if record is None else _fitted(record.get(field.name), field.type) for record in records], field.type)


def _fitted(value: Any, kind: pa.DataType) -> Any:
    """A value as one of the type that holds it."""
    if value is None:
        return None
    if pa.types.is_string(kind):
        return value if isinstance(value, str) else _json(value)
    if pa.types.is_list(kind):
        return [_fitted(one, kind.value_type) for one in value]
    if pa.types.is_struct(kind):
        return {field.name: _fitted(value.get(field.name), field.type) for field in kind}
    return float(value) if pa.types.is_floating(kind) else value


# -- lines -----------------------------------------------------------------------------------------------------------------------------


def _split(block: bytes) -> tuple[bytes, int, list[bytes]]:
    """Lines that Arrow's reader may get, how many they are, and the others.

    It ends an object where the object ends, and not with the line: where each line begins and ends with a brace, no object goes over the
    end of a line, and the number of rows shows whether a line holds several. A null row would crash it.
    """
    block = block.removeprefix(b"\xef\xbb\xbf")
    codes = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(codes == ord("\n"))
    if not block.endswith(b"\n"):
        ends = np.append(ends, len(block))
    starts = np.append(0, ends[:-1] + 1)
    long = np.flatnonzero(ends - starts > 2 * _MAX_BRACKETS)
    if (
        (ends > starts + 1).all()
        and (codes[starts] == ord("{")).all()
        and (codes[ends - 1] == ord("}")).all()
        and all(_brackets(block[starts[line] : ends[line]]) <= _MAX_BRACKETS for line in long)
    ):
        return block, len(ends), []
    fit: list[bytes] = []
    others: list[bytes] = []
    for line in block.split(b"\n"):
        line = line.strip()
        fits = line.startswith(b"{") and line.endswith(b"}") and _brackets(line) <= _MAX_BRACKETS
        (fit if fits else others).append(line)
    return b"\n".join(fit), len(fit), others


def _brackets(line: bytes) -> int:
    return line.count(b"{") + line.count(b"[")


def _arrow(lines: bytes, count: int, options: pj.ParseOptions) -> pa.Table | None:
    """The lines as Arrow's reader has them; None where it refuses one, or would take for JSON what is none."""
    try:
        lines.decode()  # the reader does not look
        table = pj.read_json(pa.BufferReader(lines), pj.ReadOptions(use_threads=False, block_size=len(lines) + 1), options)
    except (pa.ArrowException, UnicodeDecodeError):
        return None
    if options.explicit_schema is None and "double" in str(table.schema) and _LONG_NUMBER.search(lines):
        return None  # it may have been rounded
    return table if table.num_rows == count else None


def _object(line: bytes) -> dict[str, Any] | None:
    """The JSON object in a line; None if it is none, or nested so deeply that it could not be written again."""
    try:
        record = parse(line)
        if _brackets(line) > _MAX_BRACKETS:
            _json(record)
    except (ValueError, RecursionError):
        return None
    return record


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # of whole numbers beyond 64 bits
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
