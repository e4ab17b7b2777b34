"""How many rows there are, by name: each figure a few rows of one schema, so that many figures are collected as one query."""

from collections.abc import Iterable
from typing import Any

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F


def count(figure: str, rows: DataFrame, by: str | None = None, *, per: str | None = None) -> DataFrame:
    """(figure, name, rows): the number of `rows` for each value of the column `by`, and of the column `per`, which is kept as it is."""
    name = (F.lit(None) if by is None else F.col(by)).cast("string").alias("name")
    groups = rows.groupBy(name) if per is None else rows.groupBy(per, name)
    return groups.agg(F.lit(figure).alias("figure"), F.count("*").alias("rows"))


def by_name(rows: Iterable[Row], figure: str) -> dict[Any, int]:
    """The counts of one figure, added up by name: the largest first."""
    sums: dict[Any, int] = {}
    for row in rows:
        if row.figure == figure:
            sums[row.name] = sums.get(row.name, 0) + row.rows
    return dict(sorted(sums.items(), key=lambda item: (-item[1], str(item[0]))))
