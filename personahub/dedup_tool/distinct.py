"""Whether ids are those of one row each."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub.errors import InputError

_SHOWN = 4  # wrong ids that are named


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
