import gzip

import pytest

from personahub import pipeline
from personahub.documents.files import kind_of


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("P.PARQUET", b"", "parquet"),
        ("people.pq", b"", "parquet"),
        ("people.snappy.parquet", b"", "parquet"),
        ("PEOPLE.JSONL.GZ", b"", "jsonl"),
        ("people.ndjson", b"", "jsonl"),
        ("people.parquet.jsonl", b"", "jsonl"),
        ("people", b"PAR1", "parquet"),
        ("people.txt", b' {"persona": "x"}', "jsonl"),
        ("people.GZ", gzip.compress(b'{"persona": "x"}'), "jsonl"),
        ("people.csv", b"persona", None),
    ],
)
def test_a_file_is_read_by_its_name_in_any_case_or_else_by_its_first_bytes(tmp_path, name, content, kind):
    (tmp_path / name).write_bytes(content)
    assert kind_of(tmp_path / name) == kind
    assert pipeline.personas_file(str(tmp_path / name)).format == (kind or "jsonl")


def test_what_is_not_there_has_no_kind(tmp_path):
    assert kind_of(tmp_path / "nowhere") is None
