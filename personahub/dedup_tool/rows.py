"""Rows on their way into deduplication: their columns checked, an id for each, written once."""

from collections.abc import Callable

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

from personahub.dedup_tool.jsonl import UNREADABLE
from personahub.errors import InputError
from personahub.ids import persona_id
from personahub.text import nearest

_INTEGERS = (T.ByteType, T.ShortType, T.IntegerType, T.LongType)
_SHOWN = 4  # wrong ids that are named
_NUMBERS = (*_INTEGERS, T.FloatType, T.DoubleType, T.DecimalType)


def check_columns(rows: DataFrame, text_column: str, id_column: str | None, vector_column: str | None) -> None:
    """Raises InputError for a column that is not there or of another type, and for names that differ only in case."""
    names = [name for name in rows.columns if name != UNREADABLE]
    lower = [name.lower() for name in names]
    twice = sorted({name for name in lower if lower.count(name) > 1})
    if twice:
        raise InputError(f"two columns are named {twice[0]!r} (names that differ only in case are one name): rename one of them")
    fields = {name: rows.schema[name].dataType for name in names}
    if vector_column is None or text_column in names or id_column is None:  # vectors with ids need no texts beside them
        _check(fields, text_column, "text", "texts are strings", lambda kind: isinstance(kind, T.StringType))
    if id_column is not None:
        _check(
            fields, id_column, "id", "ids are strings or whole numbers", lambda kind: isinstance(kind, (T.StringType, *_INTEGERS))
        )
    if vector_column is not None:
        _check(fields, vector_column, "vector", "vectors are arrays of numbers", _is_vector)


def with_ids(rows: DataFrame, text_column: str, id_column: str | None) -> DataFrame:
    """Rows of checked columns -> id, row (a struct of their columns), unreadable (a line that is no row: its id is null).

    Without an id column the id is the hash of the normalised text; further rows of one text get -1, -2, ... in the order of their
    columns, so that it does not depend on the order of the input as far as the rows differ at all.
    """
    names = [name for name in rows.columns if name != UNREADABLE]
    row = F.struct(*(F.col(quoted(name)) for name in names)).alias("row")
    unreadable = (F.col(UNREADABLE) if UNREADABLE in rows.columns else F.lit(None)).cast("string").alias("unreadable")
    if id_column is not None:
        given = F.col(quoted(id_column))
        # a plain string is compared byte by byte, without the collation of the column
        given = given.cast("string") if isinstance(rows.schema[id_column].dataType, T.StringType) else given
        return rows.select(given.alias("id"), row, unreadable)
    text = F.coalesce(F.col(quoted(text_column)).cast("string"), F.lit(""))
    hashed = rows.select(F.udf(persona_id, "string", useArrow=True)(text).alias("hash"), row, unreadable)
    order = [sortable(F.col("row").getField(name), rows.schema[name].dataType) for name in [text_column, *names]]
    before = F.row_number().over(Window.partitionBy("hash", "unreadable").orderBy(*order)) - 1
    numbered = hashed.withColumn("before", before)
    again = F.when(F.col("before") > 0, F.concat("hash", F.lit("-"), F.col("before").cast("string"))).otherwise(F.col("hash"))
    return numbered.select(F.when(F.col("unreadable").isNull(), again).alias("id"), "row", "unreadable")


def check_ids(staged: DataFrame, id_column: str) -> None:
    """Raises InputError if ids of staged rows are null or repeat: a result could not say which of the rows it is about."""
    ids = staged.where(F.col("unreadable").isNull()).select("id")
    groups = ids.groupBy("id").agg(F.count("*").alias("rows"))
    wrong = groups.where((F.col("rows") > 1) | F.col("id").isNull())
    named = wrong.orderBy(F.col("id").isNotNull(), F.col("rows").desc(), "id").limit(_SHOWN + 1).collect()
    if not named:
        return
    nulls = [f"null on {row.rows:,}" for row in named if row.id is None]
    twice = [f"{row.id!r} on {row.rows:,}" for row in named if row.id is not None]
    more = ", ..." if len(named) > _SHOWN else ""
    first = ", ".join((nulls + twice)[:_SHOWN])
    raise InputError(
        f"the ids in column {id_column!r} are not those of one row each: {first}{more} rows. Make them so, or name no id column: "
        "then ids are made from the text"
    )


def text_of(row: T.StructType, text_column: str) -> Column:
    """The text of a staged row; null where vectors came without texts."""
    return F.col("row").getField(text_column) if text_column in row.names else F.lit(None).cast("string")


def _check(fields: dict[str, T.DataType], name: str, what: str, rule: str, right: Callable[[T.DataType], bool]) -> None:
    fitting = [other for other, kind in fields.items() if right(kind)]
    if name not in fields:
        raise InputError(f"there is no column {name!r} for the {what}{nearest(name, fitting or fields)}")
    if not right(fields[name]):
        others = f"there is {', '.join(fitting[:20])}" if fitting else "no column is such a one"
        raise InputError(f"the column {name!r} for the {what} is of type {fields[name].simpleString()}, yet {rule}: {others}")


def _is_vector(kind: T.DataType) -> bool:
    return isinstance(kind, T.ArrayType) and isinstance(kind.elementType, _NUMBERS)


def sortable(column: Column, kind: T.DataType) -> Column:
    """Rows can be sorted by most types; maps and variants are sorted by their JSON."""
    return column if _sorts(kind) else F.to_json(F.struct(column.alias("value")))


def _sorts(kind: T.DataType) -> bool:
    if isinstance(kind, T.ArrayType):
        return _sorts(kind.elementType)
    if isinstance(kind, T.StructType):
        return all(_sorts(field.dataType) for field in kind)
    return not isinstance(kind, (T.MapType, T.UserDefinedType)) and kind.typeName() not in (
        "variant",
        "calendarinterval",
        "interval",
    )


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
