import pytest
from corpora import gz, redpajama, rejects, rows, settings, signal, texts

from personahub.config import Bounds, DocumentFilters
from personahub.documents import redpajama_v2
from personahub.documents.files import Place
from personahub.errors import InputError

HEAD = "2023-06/0000/en_head"
FILE = f"{HEAD}.json.gz"


def names(documents):
    return [file.name for file in redpajama_v2.choose(documents)]


def test_line_i_of_the_documents_pairs_with_line_i_of_the_signals(tmp_path):
    redpajama(tmp_path, HEAD, ["zero", "one", "two"])
    found = rows(settings(tmp_path))
    assert [(row.document_id, row.text, row.quality) for row in found] == [
        (f"{FILE}/0", "zero", {"rps_doc_word_count": 0.0}),
        (f"{FILE}/1", "one", {"rps_doc_word_count": 1.0}),
        (f"{FILE}/2", "two", {"rps_doc_word_count": 2.0}),
    ]
    assert (found[1].source, found[1].url, found[1].language, found[1].line) == ("redpajama_v2", "http://1.org", "en", 1)


def test_real_documents(shared_data):
    found = rows(settings(shared_data / "redpajama_v2"))
    assert len(found) == 30
    assert not rejects(found)
    first = found[0]
    assert first.document_id == "2020-16/0000/en_head.json.gz/0"
    assert first.quality["rps_doc_word_count"] == 71.0
    assert first.text.startswith("We will be starting")


def test_languages_and_buckets_select_files(tmp_path):
    for name in ("de_head", "en_head", "en_middle", "en_tail"):
        redpajama(tmp_path, f"2023-06/0000/{name}", ["text"])
    assert names(settings(tmp_path)) == ["2023-06/0000/en_head", "2023-06/0000/en_middle"]
    assert names(settings(tmp_path, buckets=("tail",))) == ["2023-06/0000/en_tail"]
    assert names(settings(tmp_path, languages=("de",))) == ["2023-06/0000/de_head"]
    with pytest.raises(InputError, match="there are: de_head, en_head"):
        names(settings(tmp_path, languages=("fr",)))


def test_the_path_may_be_the_root_a_part_of_the_tree_a_glob_or_a_uri(tmp_path):
    for shard in ("0000", "0001", "0010"):
        redpajama(tmp_path, f"2023-06/{shard}/en_head", ["text"])
    all_three = [f"2023-06/{shard}/en_head" for shard in ("0000", "0001", "0010")]
    assert names(settings(tmp_path)) == all_three
    assert names(settings(tmp_path / "documents" / "2023-06")) == all_three
    assert names(settings(tmp_path.as_uri())) == all_three
    assert names(settings(tmp_path / "documents/*/000?/*.json.gz")) == all_three[:2]
    assert names(settings(tmp_path.as_uri() + "/documents/*/*[!1]/en_*.json.gz")) == [all_three[0], all_three[2]]
    assert names(settings(tmp_path / "**" / "en_head.json.gz")) == all_three
    assert len(texts(rows(settings(tmp_path.as_uri())))) == 3


@pytest.mark.parametrize("place", ["listings/en.txt", "en.txt"])
def test_a_listing_keeps_its_order_and_a_missing_file_is_a_reject(tmp_path, place):
    redpajama(tmp_path, HEAD, ["text"])
    (tmp_path / "listings").mkdir()
    entries = ["2023-06/0007/en_head", HEAD, "", "2023-06/0000/de_head", HEAD]
    (tmp_path / place).write_text("\n".join(entries))
    found = rows(settings(tmp_path / place))
    assert rejects(found) == [("2023-06/0007/en_head.json.gz", "missing_file")]
    assert texts(found) == ["text"]


def test_a_remote_file_system_reads_the_same(tmp_path):
    redpajama(tmp_path, HEAD, ["zero", "one", "two"], duplicates=[1])
    documents = settings(tmp_path)
    place = Place(documents.path)
    place.local = False  # through pyarrow's streams, as for s3://
    found = [row for file in redpajama_v2.choose(documents) for row in redpajama_v2.read_file(place, file, 0, documents)]
    assert found == rows(documents)
    missing = redpajama_v2.File(str(tmp_path), "2023-06/0009/en_head")
    assert rejects(redpajama_v2.read_file(place, missing, 0, documents)) == [(missing.id, "missing_file")]


def test_paths_that_lead_nowhere_are_told_before_anything_runs(tmp_path):
    (tmp_path / "documents").mkdir()
    (tmp_path / "bad.txt").write_text("en_head\n")
    with pytest.raises(InputError, match=r"does not exist: set documents\.path"):
        names(settings(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="holds no files laid out as"):
        names(settings(tmp_path))
    with pytest.raises(InputError, match=r"listing .* does not exist"):
        names(settings(tmp_path / "none.txt"))
    with pytest.raises(InputError, match="line 1 of the listing"):
        names(settings(tmp_path / "bad.txt"))


def test_what_stands_before_the_damage_is_kept(tmp_path):
    lines = [f"document {number} " + "".join(chr(97 + (number * k * k) % 26) for k in range(400)) for number in range(300)]
    file = redpajama(tmp_path, HEAD, lines)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    found = rows(settings(tmp_path))
    kept = texts(found)
    assert 50 < len(kept) < 250
    assert kept == lines[: len(kept)]
    assert rejects(found) == [(FILE, "corrupt_file")]
    assert f"after {len(kept)} whole lines" in found[-1].detail
    assert found[-1].line == len(kept)

    # bytes overwritten in the middle: the decoder may go on for a while before it notices, at the checksum at the latest
    file.write_bytes(whole[: len(whole) // 2] + bytes(8) + whole[len(whole) // 2 + 8 :])
    found = rows(settings(tmp_path))
    assert texts(found)[: len(kept)] == kept
    assert rejects(found)[-1] == (FILE, "corrupt_file")


@pytest.mark.parametrize("content", [b"", b"<html>404</html>"])
def test_a_file_that_is_no_gzip_is_corrupt(tmp_path, content):
    redpajama(tmp_path, HEAD, ["text"]).write_bytes(content)
    assert rejects(rows(settings(tmp_path))) == [(FILE, "corrupt_file")]


def test_several_gzip_members_are_one_file(tmp_path):
    file = redpajama(tmp_path, HEAD, ["zero", "one"], signals=False)
    file.write_bytes(file.read_bytes() * 2 + b"\0" * 9)
    assert texts(rows(settings(tmp_path))) == ["zero", "one", "zero", "one"]


def test_bad_lines_are_rejects_and_keep_the_count(tmp_path):
    broken = [{"raw_content": None}, {"raw_content": " \n"}, {"raw_content": 7}, ["no", "object"], "last"]
    file = redpajama(tmp_path, HEAD, broken)
    gz(file, ['{"raw_content": "cut', "", *broken[:4], '{"raw_content": "last"}'])
    gz(tmp_path / f"quality_signals/{HEAD}.signals.json.gz", [signal(f"{FILE}/{line}", float(line)) for line in range(7)])
    found = rows(settings(tmp_path))
    assert rejects(found) == [
        (f"{FILE}/0", "bad_json"),
        (f"{FILE}/2", "no_text"),
        (f"{FILE}/3", "no_text"),
        (f"{FILE}/4", "no_text"),
        (f"{FILE}/5", "bad_json"),
    ]
    assert found[0].raw == '{"raw_content": "cut'
    assert (found[-1].document_id, found[-1].text, found[-1].quality) == (f"{FILE}/6", "last", {"rps_doc_word_count": 6.0})


def test_the_duplicates_file_is_honoured(tmp_path):
    redpajama(tmp_path, HEAD, ["zero", "one", "two"], duplicates=[1])
    found = rows(settings(tmp_path))
    assert rejects(found) == [(f"{FILE}/1", "duplicate")]
    assert [row.quality["rps_doc_word_count"] for row in found if row.reason is None] == [0.0, 2.0]


def test_an_unreadable_duplicates_file_is_told(tmp_path):
    redpajama(tmp_path, HEAD, ["zero"], duplicates=[0])
    (tmp_path / f"duplicates/{HEAD}.duplicates.parquet").write_bytes(b"PAR1 and nothing else")
    found = rows(settings(tmp_path))
    assert (texts(found), rejects(found)) == (["zero"], [(FILE, "corrupt_duplicates")])


def test_tail_has_no_signals_and_nothing_is_missing(tmp_path):
    redpajama(tmp_path, "2023-06/0000/en_tail", ["zero"], signals=False)
    found = rows(settings(tmp_path, buckets=("tail",)))
    assert [(row.text, row.quality) for row in found] == [("zero", {})]


@pytest.mark.parametrize(
    ("signals", "reason", "with_signals"),
    [
        (False, "missing_signals", 0),
        ([signal(f"{FILE}/0", 0.0), signal(f"{FILE}/2", 2.0), signal(f"{FILE}/3", 3.0)], "signals_mismatch", 1),
        ([signal(f"{FILE}/0", 0.0)], "signals_mismatch", 1),
        ([signal(f"{FILE}/0", 0.0), "{", signal(f"{FILE}/2", 2.0)], "signals_mismatch", 1),
        ([signal(f"{FILE}/0", 0.0), {"id": f"{FILE}/1", "quality_signals": None}], "signals_mismatch", 1),
    ],
)
def test_wrong_signals_are_told_once_and_the_documents_kept(tmp_path, signals, reason, with_signals):
    redpajama(tmp_path, HEAD, ["zero", "one", "two"], signals=signals)
    found = rows(settings(tmp_path))
    assert texts(found) == ["zero", "one", "two"]
    assert rejects(found) == [(FILE, reason)]
    assert sum(bool(row.quality) for row in found) == with_signals


def test_corrupt_signals_keep_the_documents(tmp_path):
    redpajama(tmp_path, HEAD, ["zero", "one"])
    (tmp_path / f"quality_signals/{HEAD}.signals.json.gz").write_bytes(b"no gzip")
    found = rows(settings(tmp_path))
    assert (texts(found), rejects(found)) == (["zero", "one"], [(FILE, "corrupt_signals")])


def test_filters_with_reasons_and_the_head_of_the_text(tmp_path):
    long = "word " * 1000
    redpajama(tmp_path, HEAD, ["short", "# " * 200, "same line\n" * 50, long, long + "!"])
    filters = DocumentFilters(signals={"rps_doc_word_count": Bounds(max=3.0)})
    found = rows(settings(tmp_path, filters=filters))
    assert [row.reason for row in found] == ["too_short", "symbol_ratio", "repeated_lines", None, "signal"]
    assert found[4].raw == long[:2000]
    assert len({row.reject_id for row in found if row.reason}) == 4
