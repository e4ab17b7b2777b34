"""Columns that names of folders make, as in lang=en/a.parquet."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"


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
