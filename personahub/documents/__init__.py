"""The front door of corpora: files become one DataFrame of documents and rejects. One file a task, streamed, never held."""

from collections import Counter
from collections.abc import Callable, Iterator

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from personahub.config import Documents
from personahub.documents import generic, redpajama_v2
from personahub.documents.files import Place
from personahub.documents.known_ids import HINT, refuse_taken, with_ids_of_their_own
from personahub.documents.rows import READ, STAGE, Row, batches, first
from personahub.errors import InputError
from personahub.schemas import DOCUMENTS, REJECTS

__all__ = [
    "HINT",
    "ID_TAKEN",
    "READ",
    "check",
    "read",
    "read_file",
    "refuse_taken",
    "split",
    "why_nothing",
    "with_ids_of_their_own",
]
_Batches = Iterator[pa.RecordBatch]
_File = redpajama_v2.File | generic.File


def check(documents: Documents) -> None:
    """Raises InputError if the path is unset, does not exist or selects no file. Needs no Spark; a Delta corpus is not looked at."""
    if documents.path is None:
        raise InputError(f"documents.path is not set: name the folder, glob or listing of your {documents.format} corpus")
    if documents.format != "delta":
        _choose(documents)


def read(spark: SparkSession, documents: Documents, table: DataFrame | None = None) -> DataFrame:
    """READ rows of the corpus that `documents` names: a row is a document (reason is null) or a reject.

    table: the rows of a Delta corpus, which the caller opens (format delta only). A document that documents.filters refuse, a
    repeated one, a damaged line or file becomes a reject; pages of other languages or buckets, or beyond max_documents, are no rows
    at all. Evaluate the result once, for example into a staging table: each evaluation reads the corpus again.

    With max_documents N the documents are the first N that pass, in the order of files and lines; to know which files those take,
    files are counted here, a few at a time, in Spark jobs. Else no job runs. Raises InputError, before any job, if the path is
    unset, does not exist or selects no file.
    """
    if documents.format == "delta":
        return _read_table(documents, table)
    check(documents)
    files = _choose(documents)
    if documents.max_documents is None:
        return _read_files(spark, documents, [(index, file, None) for index, file in enumerate(files)])
    return _read_files(spark, documents, _first_files(spark, documents, files, documents.max_documents))


def split(read: DataFrame, run_id: str) -> tuple[DataFrame, DataFrame]:
    """READ rows as (documents, rejects), each by its table's schema."""
    documents = read.where(F.col("reason").isNull()).select(*DOCUMENTS.names)
    rejects = read.where(F.col("reason").isNotNull()).select(
        "reject_id",
        F.lit(STAGE).alias("stage"),
        "source_id",
        F.lit(None).cast("string").alias("completion_id"),
        "reason",
        "detail",
        "raw",
        F.lit(run_id).alias("run_id"),
    )
    return documents, rejects.select(*REJECTS.names)


def why_nothing(read: DataFrame) -> str | None:
    """Why READ rows hold no document, by reason and with the first detail of each; None if they hold one, or nothing at all."""
    counts = read.groupBy("reason").agg(F.count("*").alias("rows"), F.min("detail").alias("detail")).collect()
    if not counts or any(row.reason is None for row in counts):
        return None
    reasons = (f"{row.reason} {row.rows:,} ({(row.detail or '')[:200]})" for row in sorted(counts, key=lambda row: -row.rows))
    return f"nothing was kept: {'; '.join(reasons)}"


def read_file(place: Place, file: _File, file_index: int, documents: Documents, most: int | None = None) -> Iterator[Row]:
    """The rows of one file, up to and with its `most`-th document."""
    corpus = redpajama_v2 if documents.format == "redpajama_v2" else generic
    return first(corpus.read_file(place, file, file_index, documents), most)  # type: ignore[arg-type]


def _choose(documents: Documents) -> list[_File]:
    return list((redpajama_v2 if documents.format == "redpajama_v2" else generic).choose(documents))


def _read_files(spark: SparkSession, documents: Documents, work: list[tuple[int, _File, int | None]]) -> DataFrame:
    """One file a task. work: (file_index, file, the most documents to take from it)."""

    def rows(numbers: pa.Array) -> Iterator[Row]:
        place = Place(documents.path or "")
        for number in numbers.to_pylist():
            index, file, most = work[number]
            yield from read_file(place, file, index, documents, most)

    def task(input_batches: _Batches) -> _Batches:
        for batch in input_batches:
            yield from batches(rows(batch.column(0)))

    return spark.range(0, len(work), 1, max(1, len(work))).mapInArrow(task, READ)


def _first_files(spark: SparkSession, documents: Documents, files: list[_File], most: int) -> list[tuple[int, _File, int | None]]:
    """The files that hold the first `most` documents, and how many to take from each. Counts 8 files, then 16, 32, ..."""
    work: list[tuple[int, _File, int | None]] = []
    start, wave, left = 0, 8, most
    while left > 0 and start < len(files):
        part: list[tuple[int, _File, int | None]] = [
            (index, files[index], left) for index in range(start, min(start + wave, len(files)))
        ]
        accepted = _read_files(spark, documents, part).where(F.col("reason").isNull()).groupBy("file_index").count().collect()
        counts = {row["file_index"]: row["count"] for row in accepted}
        for index, file, _ in part:
            if left <= 0:
                break
            work.append((index, file, left))
            left -= counts.get(index, 0)
        start, wave = start + wave, wave * 2
    return work


def _read_table(documents: Documents, table: DataFrame | None) -> DataFrame:
    """The rows of a table with a text column. Tables have no order: max_documents takes the first by document_id."""
    if table is None:
        raise InputError("documents.path is not set: name the Delta table of your corpus")
    names = generic.columns(documents)
    if names.text not in table.columns:
        have = ", ".join(table.columns)
        raise InputError(f"the table has no column {names.text!r}, only {have}: set documents.text_column")
    used = [name for name in (names.text, names.id, names.url, names.language) if name in table.columns]
    rows = table.select(*dict.fromkeys(used)).mapInArrow(_table_task(documents), READ)
    if documents.max_documents is None:
        return rows
    accepted = rows.where(F.col("reason").isNull()).orderBy("document_id").limit(documents.max_documents)
    return accepted.unionByName(rows.where(F.col("reason").isNotNull()))


def _table_task(documents: Documents) -> Callable[[_Batches], _Batches]:
    names, wanted = generic.columns(documents), frozenset(documents.languages)

    def rows(records: _Batches) -> Iterator[Row]:
        for batch in records:
            for record, problem in generic.records(batch):
                if row := generic.record_row(record, names, wanted, documents, 0, 0, None, Counter(), problem):
                    yield row

    def task(input_batches: _Batches) -> _Batches:
        yield from batches(rows(input_batches))

    return task
