"""Ids that stand for another text already: two corpora may have files of one name, and an id column may repeat a value.

A table keeps one row of an id, so the others would be lost without a word. Ids do not change for that, since hubs know documents by them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from personahub import ids
from personahub.documents.rows import READ, STAGE, reject
from personahub.rows import Materialise, map_rows
from personahub.schemas import REJECTS

HINT = (
    "another text has this id: set documents.id_column to a column that tells them apart, or documents.path to a folder above "
    "all corpora, below which the names of their files differ"
)


def refuse_taken(read: DataFrame, documents: DataFrame, materialise: Materialise) -> DataFrame:
    """READ -> READ, where a document whose id is that of another text is a reject, id_taken: of one in `documents`, or else of the first
    by file and line. A text that was blanked takes no id.
    """
    known = documents.select("document_id", F.when(F.col("text").isNotNull(), F.xxhash64("text")).alias("mark"))
    rows = read.withColumn("mark", F.xxhash64("text"))
    new = rows.where(F.col("reason").isNull())
    others = materialise(_others(new, known, "document_id", "file_index", "line"), "taken")
    if others.isEmpty():
        return read
    good = rows.join(others, on=["document_id", "mark"], how="left_anti").select(*READ.names)
    return good.unionByName(map_rows(new.join(others, on=["document_id", "mark"], how="left_semi"), _refused, READ))


def with_ids_of_their_own(rejects: DataFrame, known: DataFrame, materialise: Materialise) -> DataFrame:
    """REJECTS -> REJECTS, where one whose reject_id is that of another text, in `known` or among these, has an id made of its text, too."""

    def marked(rows: DataFrame) -> DataFrame:
        about = F.coalesce("raw", "detail")
        return rows.withColumn("mark", F.when(about.isNotNull(), F.xxhash64("stage", about)))

    rows = marked(rejects)
    others = materialise(_others(rows, marked(known), "reject_id"), "rejects")
    if others.isEmpty():
        return rejects
    same = rows.join(others, on=["reject_id", "mark"], how="left_anti").select(*REJECTS.names)
    return same.unionByName(map_rows(rows.join(others, on=["reject_id", "mark"], how="left_semi"), _renamed, REJECTS))


def _others(rows: DataFrame, known: DataFrame, key: str, *order: str) -> DataFrame:
    """(key, mark) of the rows whose key stands for another mark: in `known`, or else in the first of these rows by `order` and mark."""
    first: Column = F.min(F.struct(*order, "mark")).getField("mark").alias("first")
    taken = known.select(key, F.col("mark").alias("known"))
    owner = rows.groupBy(key).agg(first).join(taken, on=key, how="left").select(key, F.coalesce("known", "first").alias("owner"))
    return rows.select(key, "mark").join(owner, on=key, how="inner").where("mark != owner").select(key, "mark").distinct()


def _refused(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A document as a reject."""
    file_index, line, name, text = (row[column] for column in ("file_index", "line", "document_id", "text"))
    made = reject(file_index, line, name, "id_taken", HINT, text)
    yield made._replace(reject_id=ids.reject_id(STAGE, name, None, str(made.reason), ids.seed(text)))._asdict()


def _renamed(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    position = ids.seed(row["raw"] or row["detail"] or "")
    name = ids.reject_id(row["stage"], row["source_id"], row["completion_id"], row["reason"], position)
    yield {**{column: row[column] for column in REJECTS.names}, "reject_id": name}
