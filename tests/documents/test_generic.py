import bz2
import json
import lzma

import pyarrow as pa
import pytest
import zstandard
from corpora import gz, rejects, rows, settings, texts
from pyarrow import parquet

from personahub.errors import InputError

RECORDS = [{"id": "a", "text": "zero"}, {"id": 7, "text": "one"}, {"text": "two"}, {"id": "", "text": "three"}]
LINES = "".join(json.dumps(record) + "\n" for record in RECORDS)


def ids(found):
    return [row.document_id for row in found if row.reason is None]


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "jsonl.zst"])
def test_jsonl_plain_and_compressed(tmp_path, ending):
    path = tmp_path / "part" / f"data.{ending}"
    path.parent.mkdir()
    if ending.endswith("gz"):
        gz(path, RECORDS)
    else:
        path.write_bytes(zstandard.compress(LINES.encode()) if ending.endswith("zst") else LINES.encode())
    found = rows(settings(tmp_path, format="jsonl"))
    assert texts(found) == ["zero", "one", "two", "three"]
    assert ids(found) == ["a", "7", f"part/data.{ending}/2", f"part/data.{ending}/3"]


def test_the_fallback_id_is_relative_to_the_folder_before_a_wildcard(tmp_path):
    gz(tmp_path / "one.jsonl.gz", [{"text": "zero"}])
    for path in (tmp_path, tmp_path / "*.gz", tmp_path / "one.jsonl.gz"):
        assert ids(rows(settings(path, format="jsonl"))) == ["one.jsonl.gz/0"]


@pytest.mark.parametrize(("ending", "packed"), [("JSONL", bytes), ("jsonl.bz2", bz2.compress), ("json.XZ", lzma.compress)])
def test_endings_in_any_case_and_of_any_packing(tmp_path, ending, packed):
    (tmp_path / f"data.{ending}").write_bytes(packed(b"\xef\xbb\xbf" + LINES.encode()))
    assert ids(rows(settings(tmp_path, format="jsonl"))) == ["a", "7", f"data.{ending}/2", f"data.{ending}/3"]


def test_what_is_not_read_is_told(tmp_path):
    (tmp_path / "data.jsonl").write_text(LINES)
    (tmp_path / "notes.docx").write_text("x")
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nowhere.jsonl")
    found = rows(settings(tmp_path, format="jsonl"))
    assert rejects(found) == [("gone.jsonl", "missing_file"), ("notes.docx", "unknown_ending")]


def test_nan_and_large_numbers_are_no_reason_to_lose_a_line(tmp_path):
    lines = [
        f'{{"id": {2**127 + n}, "text": "{n}", "perplexity": {number}}}' for n, number in enumerate(["NaN", "-Infinity", "1e400"])
    ]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    found = rows(settings(tmp_path, format="jsonl"))
    assert (ids(found), texts(found)) == ([str(2**127 + n) for n in range(3)], ["0", "1", "2"])


@pytest.mark.parametrize(("wanted", "kept"), [("de", 5), ("deu", 5), ("zh", 1), ("cmn", 1), ("Klingon", 1)])
def test_languages_by_any_of_their_codes(tmp_path, wanted, kept):
    codes = ["de", "deu", "ger", "DE-at", "deu_Latn", "cmn_Hani", "klingon", "en"]
    gz(tmp_path / "data.jsonl.gz", [{"text": code, "language": code} for code in codes])
    assert len(texts(rows(settings(tmp_path, format="jsonl", languages=(wanted,))))) == kept


def test_a_file_of_which_nothing_is_kept_says_what_languages_are_there(tmp_path):
    gz(tmp_path / "data.jsonl.gz", [{"text": "x", "language": code} for code in ("deu", "fra", "deu")])
    (reject,) = rows(settings(tmp_path, format="jsonl", languages=("en",)))
    assert (reject.source_id, reject.reason) == ("data.jsonl.gz", "wrong_language")
    assert "['en']" in reject.detail
    assert "deu 2, fra 1" in reject.detail


def test_a_string_that_is_no_utf_8_is_a_reject(tmp_path):
    raw = pa.array([b"zero", b"caf\xe9", b"two"], pa.binary())
    column = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    parquet.write_table(pa.table({"id": ["a", "b", "c"], "text": column}), tmp_path / "data.parquet")
    found = rows(settings(tmp_path, format="parquet"))
    assert (texts(found), rejects(found)) == (["zero", "two"], [("b", "bad_utf8")])


def test_a_truncated_zst_is_corrupt(tmp_path):
    whole = zstandard.compress((LINES * 10_000).encode())
    (tmp_path / "data.jsonl.zst").write_bytes(whole[: len(whole) // 2])
    found = rows(settings(tmp_path, format="jsonl"))
    assert rejects(found) == [("data.jsonl.zst", "corrupt_file")]


def test_parquet_with_columns_of_the_users_own(tmp_path):
    table = pa.table({"body": ["zero", None, "two"], "key": [1, 2, None], "language": ["en", "en", "de"]})
    parquet.write_table(table, tmp_path / "part-0.parquet")
    (tmp_path / "_SUCCESS").write_text("")
    found = rows(settings(tmp_path, format="parquet", text_column="body", id_column="key", languages=()))
    assert (ids(found), rejects(found)) == (["1", "part-0.parquet/2"], [("2", "no_text")])


def test_languages_are_skipped_without_a_reject_and_null_ones_kept(tmp_path):
    records = [{"text": text, "language": text} for text in ("en", "de", "EN")] + [{"text": "unknown"}]
    gz(tmp_path / "data.jsonl.gz", records)
    found = rows(settings(tmp_path, format="jsonl"))
    assert (texts(found), rejects(found)) == (["en", "EN", "unknown"], [])
    assert [row.language for row in found] == ["en", "EN", None]


def test_presets(tmp_path):
    gz(tmp_path / "c4" / "c4-train.00000.json.gz", [{"text": "zero", "timestamp": "2019", "url": "http://a.org"}])
    gz(tmp_path / "dolma" / "part.json.gz", [{"id": "d", "text": "zero", "source": "cc", "metadata": {}}])
    columns = {
        "text": ["zero"],
        "id": ["<urn:1>"],
        "url": ["http://b.org"],
        "language": ["en"],
        "language_score": [0.9],
        "date": ["2024"],
    }
    (tmp_path / "fineweb").mkdir()
    parquet.write_table(pa.table(columns), tmp_path / "fineweb" / "000.parquet")
    c4, dolma, fineweb = (rows(settings(tmp_path / name, format=name))[0] for name in ("c4", "dolma", "fineweb"))
    assert (c4.source, c4.document_id, c4.url) == ("c4", "c4-train.00000.json.gz/0", "http://a.org")
    assert (dolma.source, dolma.document_id) == ("dolma", "d")
    assert (fineweb.document_id, fineweb.language, fineweb.quality) == ("<urn:1>", "en", {"language_score": 0.9})


@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
def test_a_file_without_the_text_column_is_one_reject(tmp_path, format_):
    if format_ == "jsonl":
        gz(tmp_path / "a.jsonl.gz", [{"body": "x"}] * 1500)
    else:
        parquet.write_table(pa.table({"body": ["x"]}), tmp_path / "a.parquet")
    found = rows(settings(tmp_path, format=format_))
    assert [(row.reason, row.detail) for row in found] == [
        ("missing_column", "no column 'text'; the file has: body; set documents.text_column (of an import: --column)")
    ]


def test_a_text_that_is_missing_at_first_is_a_reject_of_its_own(tmp_path):
    gz(tmp_path / "a.jsonl.gz", [{"id": "0"}, "not json", {"id": "2", "text": "two"}, {"id": "3"}])
    found = rows(settings(tmp_path, format="jsonl"))
    assert sorted(rejects(found)) == [("0", "no_text"), ("3", "no_text"), ("a.jsonl.gz/1", "bad_json")]
    assert texts(found) == ["two"]


def test_a_corrupt_parquet_file(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing else")
    assert rejects(rows(settings(tmp_path, format="parquet"))) == [("a.parquet", "corrupt_file")]


def test_only_length_is_on_by_default(tmp_path):
    gz(tmp_path / "a.jsonl.gz", [{"text": "same line\n" * 50}, {"text": "# " * 200}, {"text": "short"}])
    from personahub.config import DocumentFilters

    assert [row.reason for row in rows(settings(tmp_path, format="jsonl", filters=DocumentFilters()))] == [
        None,
        None,
        "too_short",
    ]


def test_no_such_files(tmp_path):
    gz(tmp_path / "a.jsonl.gz", RECORDS)
    with pytest.raises(InputError, match=r"selects no file that ends in \.parquet"):
        rows(settings(tmp_path, format="parquet"))
    with pytest.raises(InputError, match="does not exist"):
        rows(settings(tmp_path / "nowhere", format="jsonl"))
