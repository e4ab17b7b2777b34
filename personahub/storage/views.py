"""What stands in a hub, defined once: personas that are kept, documents that were not taken down, examples that are valid.

table: name -> DataFrame, as `Store.table` gives it.
"""

from collections.abc import Callable
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

Tables = Callable[[str], DataFrame]


def without(rows: DataFrame, key: str, *marks: DataFrame) -> DataFrame:
    """Rows whose `key` is no id of the marks (id)."""
    for each in marks:
        rows = rows.join(each.select(F.col("id").alias(key)), on=key, how="left_anti")
    return rows


def taken_down(table: Tables, kind: str) -> DataFrame:
    """id: documents, personas or examples with a tombstone."""
    return table("tombstones").where(F.col("kind") == kind).select("id")


def duplicates_of_kind(table: Tables, kind: str) -> DataFrame:
    """DUPLICATES of personas or of examples."""
    return table("duplicates").where(F.col("kind") == kind)


def live_documents(table: Tables) -> DataFrame:
    """DOCUMENTS that were not taken down."""
    return without(table("documents"), "document_id", taken_down(table, "document"))


def documents_to_ask(table: Tables) -> DataFrame:
    """Live documents that have led to no persona and no reject yet."""
    made = table("lineage").select(F.col("parent_id").alias("id"))
    rejected = table("rejects").where(F.col("stage") == "text-to-persona").select(F.col("source_id").alias("id"))
    return without(live_documents(table), "document_id", made, rejected)


def not_kept(table: Tables) -> DataFrame:
    """id: personas that are duplicates of others, were taken down, or could not be compared."""
    marks = [
        duplicates_of_kind(table, "persona").select("id"),
        taken_down(table, "persona"),
        table("rejects").where(F.col("stage") == "dedup").select(F.col("source_id").alias("id")),
    ]
    return reduce(DataFrame.unionByName, marks).distinct()


def kept_personas(table: Tables) -> DataFrame:
    """PERSONAS that represent themselves."""
    return without(table("personas"), "persona_id", not_kept(table))


def live_examples(table: Tables) -> DataFrame:
    """EXAMPLES that were not taken down."""
    return without(table("examples"), "example_id", taken_down(table, "example"))


def last_verdicts(table: Tables) -> DataFrame:
    """example_id, expert, task, verdict: of several verdicts of an expert on an example the last one counts."""
    last = F.max_by(F.struct("task", "verdict"), "created_at").alias("last")
    return table("reviews").groupBy("example_id", "expert").agg(last).select("example_id", "expert", "last.*")


def valid_examples(table: Tables) -> DataFrame:
    """EXAMPLES without those taken down, near-duplicates of others, and those that a reviewer finds invalid."""
    invalid = last_verdicts(table).where(F.col("verdict") == "invalid").select(F.col("example_id").alias("id"))
    return without(live_examples(table), "example_id", duplicates_of_kind(table, "example"), invalid)
