"""The DataFrame: what Spark makes of the rows that the pure readers give."""

import pyarrow as pa
import pytest
from corpora import NO_FILTERS, gz, redpajama, settings
from pyspark.sql.pandas.types import to_arrow_schema

from personahub import documents, ids, schemas
from personahub.config import Documents
from personahub.documents.rows import READ, Row, batches, first
from personahub.errors import InputError
from personahub.rows import arrow_schema

HEAD = "2023-06/0000/en_head"


def test_the_arrow_schema_is_the_spark_one():
    spark, mine = to_arrow_schema(READ), arrow_schema(READ)
    assert [(field.name, field.type) for field in spark] == [(field.name, field.type) for field in mine]
    assert tuple(READ.names) == Row._fields


def test_batches_keep_rows_and_maps():
    given = [Row(str(n), "s", None, "en", "t", {"a": float(n)} if n % 2 else {}, 0, n) for n in range(1100)]
    given[3] = given[3]._replace(quality=None)
    made = list(batches(given))
    assert [batch.num_rows for batch in made] == [512, 512, 76]
    read = [row for batch in made for row in batch.to_pylist(maps_as_pydicts="strict")]
    assert [Row(**row) for row in read] == given


def test_first_ends_with_the_last_document_taken():
    rows = [Row(None, None, None, None, None, None, 0, n, reason="r" if n in (0, 2, 4) else None) for n in range(6)]
    assert [row.line for row in first(rows, 2)] == [0, 1, 2, 3]
    assert list(first(rows, 0)) == []
    assert len(list(first(rows, None))) == 6


def test_documents_and_rejects_of_a_tree(spark, tmp_path):
    redpajama(tmp_path, HEAD, ["zero", "", "two"])
    redpajama(tmp_path, "2023-06/0001/en_middle", ["three"], signals=False)
    found = documents.read(spark, settings(tmp_path))
    assert found.schema == documents.READ
    accepted, refused = documents.split(found, "run-1")
    assert accepted.schema == schemas.DOCUMENTS
    assert [(field.name, field.dataType) for field in refused.schema] == [
        (field.name, field.dataType) for field in schemas.REJECTS
    ]
    assert {(row.document_id[-11:], row.text) for row in accepted.collect()} == {
        ("d.json.gz/0", "zero"),
        ("d.json.gz/2", "two"),
        ("e.json.gz/0", "three"),
    }
    rejected = {row.reason: row for row in refused.collect()}
    assert set(rejected) == {"no_text", "missing_signals"}
    assert rejected["no_text"].source_id == f"{HEAD}.json.gz/1"
    assert (rejected["no_text"].stage, rejected["no_text"].run_id, rejected["no_text"].completion_id) == (
        "documents",
        "run-1",
        None,
    )


def test_the_real_documents_lead_to_documents_or_rejects(spark, shared_data):
    found = documents.read(spark, Documents(path=str(shared_data / "redpajama_v2")))
    assert found.count() == 30


@pytest.mark.parametrize(
    ("most", "taken"), [(1, ["zero"]), (3, ["zero", "two", "three"]), (99, ["zero", "two", "three", "four"])]
)
def test_max_documents_takes_the_first_that_pass(spark, tmp_path, most, taken):
    redpajama(tmp_path, HEAD, ["zero", "", "two"])
    redpajama(tmp_path, "2023-06/0001/en_head", ["three", "", "four"])
    found = documents.read(spark, settings(tmp_path, max_documents=most)).orderBy("file_index", "line").collect()
    assert [row.text for row in found if row.reason is None] == taken
    assert sum(row.reason is not None for row in found) == {1: 0, 3: 1, 99: 2}[most]  # none beyond the last document


def test_max_documents_goes_on_to_the_next_wave_of_files(spark, tmp_path):
    for number in range(11):
        gz(tmp_path / f"{number:02}.jsonl.gz", [{"text": f"text {number}"}])
    found = documents.read(spark, settings(tmp_path, format="jsonl", max_documents=10)).orderBy("file_index").collect()
    assert [row.text for row in found] == [f"text {number}" for number in range(10)]


def test_a_string_of_a_table_that_is_no_utf_8_is_a_reject():
    raw = pa.array([b"zero", b"caf\xe9"], pa.binary())
    batch = pa.record_batch({"id": ["a", "b"], "text": pa.Array.from_buffers(pa.string(), 2, raw.buffers())})
    task = documents._table_task(Documents(format="delta", filters=NO_FILTERS))
    found = [row for made in task(iter([batch])) for row in made.to_pylist()]
    assert [(row["document_id"], row["source_id"], row["reason"]) for row in found] == [
        ("a", None, None),
        (None, "b", "bad_utf8"),
    ]


def test_a_table(spark):
    table = spark.createDataFrame(
        [("b", "en", "text b"), (None, "en", "text c"), ("a", "de", "text a"), ("d", None, "")],
        "id string, language string, text string",
    )
    wanted = Documents(format="delta", filters=NO_FILTERS)
    found = documents.read(spark, wanted, table).collect()
    assert {(row.document_id, row.text) for row in found if row.reason is None} == {
        ("b", "text b"),
        (ids.content_id("text c"), "text c"),
    }
    assert [(row.source_id, row.reason) for row in found if row.reason] == [("d", "no_text")]
    with pytest.raises(InputError, match="no column 'body', only id, language, text"):
        documents.read(spark, wanted.model_copy(update={"text_column": "body"}), table)


@pytest.mark.parametrize("format_", ["redpajama_v2", "jsonl", "parquet", "delta"])
def test_an_unset_path_is_told(format_):
    with pytest.raises(InputError, match=r"documents\.path is not set"):
        documents.read(None, Documents(format=format_))
