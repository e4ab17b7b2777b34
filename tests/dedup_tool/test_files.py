import bz2
import gzip
import json
import math
import os
import random
from operator import itemgetter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

from personahub import ids
from personahub.config import load
from personahub.dedup.proof.neighbours import Neighbours
from personahub.dedup_tool import deduplicate_frame, files
from personahub.dedup_tool.files import Request, check, run
from personahub.dedup_tool.frame import Counts, check_sums
from personahub.dedup_tool.input import detect
from personahub.dedup_tool.rows import with_ids
from personahub.errors import ConfigError, InputError, Interrupted, PersonahubError, RootInUse
from personahub.storage.lease import Lease

COOK = "A cook from the old town of Brugge who bakes bread for the bakers of the street"
COOKS = [COOK, COOK + ".", "a  COOK from the old town of Brugge who bakes bread for the bakers of the street", COOK + " too"]
OTHERS = ["A lighthouse keeper who paints ships", "ein Bäcker aus Brügge", "面包师"]


def jsonl(path, rows):
    lines = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()
    packed = {".gz": gzip.compress, ".bz2": bz2.compress}.get(path.suffix, bytes)(lines)
    path.write_bytes(packed)
    return path


def parquet(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def read(path):
    return sorted(pq.read_table(path).to_pylist(), key=str)


# -- what lies there -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.parquet", b"PAR1", "parquet"),
        ("a.PQ", b"PAR1", "parquet"),
        ("a.jsonl", b"{}", "jsonl"),
        ("a.json.gz", b"", "jsonl"),
        ("a.ndjson.zst", b"", "jsonl"),
        ("a.txt", b'\n {"persona": "x"}', "jsonl"),
        ("a.gz", gzip.compress(b'{"persona": "x"}', mtime=0), "jsonl"),
        ("a", b"PAR1...", "parquet"),
    ],
)
def test_a_file_is_known_by_its_name_or_its_first_bytes(tmp_path, name, content, kind):
    (tmp_path / name).write_bytes(content)
    assert detect(str(tmp_path / name)).format == kind


def test_a_folder_is_searched_to_its_bottom(tmp_path):
    for name in ("lang=en/a.parquet", "deep/er/b.parquet", "_tmp/c.parquet", ".d.parquet", "_SUCCESS", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    source = detect(str(tmp_path))
    assert (source.format, source.folder) == ("parquet", str(tmp_path))
    assert source.files == (str(tmp_path / "deep/er/b.parquet"), str(tmp_path / "lang=en/a.parquet"))
    assert detect(str(tmp_path / "*" / "*.parquet")).files == (str(tmp_path / "lang=en/a.parquet"),)


def test_a_url_is_known_by_its_ending():
    assert [detect(f"s3a://bucket/{name}").format for name in ("a.jsonl.gz", "*.parquet", "table")] == [
        "jsonl",
        "parquet",
        "delta",
    ]


@pytest.mark.parametrize(
    ("files", "path", "message"),
    [
        (["personas.jsonl"], "persona.jsonl", "there is no .*persona.jsonl; did you mean personas.jsonl"),
        ([], "nowhere/a.jsonl", "there is no .*a.jsonl$"),
        (["a.parquet", "b.jsonl"], ".", "several kinds .1 of parquet, 1 of jsonl.: name one kind"),
        (["a.parquet", "b.jsonl"], "*", "names files of several kinds"),
        (["table/_delta_log/0.json"], ".", "folder with a Delta table in it: name the table, .*table"),
        (["README.md"], ".", "holds no file that is one of parquet"),
        (["a.txt"], "a.txt", "is none of parquet"),
        (["_a.jsonl"], "_a.jsonl", "the engine passes over files whose names begin with _"),
    ],
)
def test_what_cannot_be_an_input(tmp_path, files, path, message):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("hello")
    with pytest.raises(InputError, match=message):
        detect(str(tmp_path / path))


# -- before Spark starts -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "out", "message"),
    [
        (["out/kept"], "out", "holds results already .kept.: name another --out, or replace them with --overwrite"),
        (["out/duplicates", "out/rejects"], "out", "holds results already .duplicates, rejects."),
        ([], "in/a.jsonl", "is a file: name a folder"),
        ([], "in", "would lie in each other"),
        ([], "in/out", "would lie in each other"),
    ],
)
def test_a_folder_that_cannot_be_written_to(tmp_path, made, out, message):
    for name in [*made, "in"]:
        (tmp_path / name).mkdir(parents=True)
    jsonl(tmp_path / "in" / "a.jsonl", [])
    with pytest.raises(ConfigError, match=message):
        check(Request(str(tmp_path / "in"), str(tmp_path / out)), load())


def test_the_results_of_one_run_cannot_be_overwritten_while_they_are_the_input_of_another(tmp_path):
    (tmp_path / "kept").mkdir()
    jsonl(tmp_path / "kept" / "a.jsonl", [])
    jsonl(tmp_path / "b.jsonl", [])
    with pytest.raises(ConfigError, match="lie in each other"):
        check(Request(str(tmp_path / "kept"), str(tmp_path), overwrite=True), load())
    check(Request(str(tmp_path / "b.jsonl"), str(tmp_path), overwrite=True), load())  # beside the results a file may lie


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["dedup.semantic.enabled=true"], "no column of vectors is named: --vectors"),
        (
            ["dedup.lexical.method=minhash", "dedup.lexical.threshold=0.3", "dedup.lexical.num_perm=16"],
            "dedup.lexical: no bands of 16",
        ),
    ],
)
def test_settings_that_cannot_be(tmp_path, settings, message):
    path = jsonl(tmp_path / "a.jsonl", [])
    with pytest.raises(ConfigError, match=message):
        check(Request(str(path), str(tmp_path / "out")), load(overrides=settings))


def test_a_row_that_got_lost_is_a_bug():
    check_sums(Counts(6, 1, {"exact": 2, "identical": 1}, {"bad_json": 2}))
    with pytest.raises(PersonahubError, match="7 rows came in, yet 1 are kept, 3 are duplicates and 2 rejects"):
        check_sums(Counts(7, 1, {"exact": 2, "identical": 1}, {"bad_json": 2}))


# -- the tool ----------------------------------------------------------------------------------------------------------------------------


def test_every_line_is_kept_or_a_duplicate_or_a_reject(spark, tmp_path):
    texts = [*COOKS, *OTHERS]
    random.Random(1).shuffle(texts)
    bad = [
        {"n": -1},
        {"persona": ""},
        {"persona": "?!"},
        {"persona": " ".join(map(str, range(100_000)))},
        "no json",
        "[1]",
        '{"persona": "cut',
    ]
    rows = [{"n": n, "persona": one, "more": {"a": [n]}} for n, one in enumerate(texts)]
    by_number = itemgetter("n")
    path = jsonl(tmp_path / "in.jsonl.gz", [*rows, {"n": 99, "persona": "word " * 100_000}, *bad])
    heard = []
    request = Request(str(path), str(tmp_path / "out"), audit=True)
    summary = run(request, load(), heard.append)

    assert heard[:3] == ["starting", "reading", "comparing"]
    assert summary.counts == Counts(15, 5, {"identical": 2, "exact": 1}, {"bad_json": 3, "empty_text": 3, "too_long": 1})
    assert [finding.claim for finding in summary.findings if not finding.holds] == []
    assert len(summary.findings) == 7

    # who is kept is the least id, and its row is as it was
    kept = read(tmp_path / "out" / "kept")
    best = min(COOKS, key=ids.persona_id)
    expected = [row for row in rows if row["persona"] in (best, *OTHERS)] + [
        {"n": 99, "persona": "word " * 100_000, "more": None}
    ]
    assert sorted(kept, key=by_number) == sorted(expected, key=by_number)
    duplicates = read(tmp_path / "out" / "duplicates")
    assert {one["duplicate_of"] for one in duplicates} <= {ids.persona_id(text) for text in COOKS}
    assert {one["representative"] for one in duplicates} == {ids.persona_id(best)}
    assert {one["id"].removesuffix("-1") for one in duplicates} | {ids.persona_id(best)} == {ids.persona_id(one) for one in COOKS}
    rejects = {(one["reason"], (one["detail"] or "")[:30]) for one in read(tmp_path / "out" / "rejects")}
    assert ("bad_json", "no json") in rejects
    assert ("empty_text", "no word in it: ?!") in rejects
    group = summary.groups[0]
    assert (group.text, group.size) == (best, 3)
    assert {one.text for one in group.members} == set(COOKS) - {best}
    assert sorted(item.name for item in (tmp_path / "out").iterdir()) == ["duplicates", "kept", "rejects"]


@pytest.mark.parametrize("format_", ["parquet", "delta"])
def test_results_in_a_folder_of_any_name(tmp_path, spark, format_):
    (tmp_path / "in [1].jsonl").write_text("".join(json.dumps({"persona": text}) + "\n" for text in COOKS))
    request = Request(str(tmp_path / "in [1].jsonl"), str(tmp_path / "out {2} *"), format=format_, audit=True)
    summary = run(request, load())
    assert all(finding.holds for finding in summary.findings)
    (tmp_path / "out {2} *").rename(tmp_path / "plain")
    assert spark.read.format(format_).load(str(tmp_path / "plain" / "kept")).count() == summary.counts.kept
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in [1].jsonl", "plain"]


def test_delta_in_and_out_with_whole_numbers_as_ids_and_minhash(spark, tmp_path):
    rows = [(3, COOKS[0], {"a": 1}), (1, COOKS[3], {}), (2, COOKS[1], None), (7, OTHERS[0], {})]
    frame = spark.createDataFrame(rows, "number int, text string, more map<string,int>")
    frame.write.format("delta").save(str(tmp_path / "in"))
    request = Request(str(tmp_path / "in"), str(tmp_path / "out"), "text", "number", format="delta")
    summary = run(request, load(overrides=["dedup.lexical.method=minhash"]))
    kept, duplicates = (spark.read.format("delta").load(str(tmp_path / "out" / name)) for name in ("kept", "duplicates"))
    assert kept.schema == frame.schema
    assert {row.number: (row.text, row.more) for row in kept.collect()} == {1: (COOKS[3], {}), 7: (OTHERS[0], {})}
    assert duplicates.schema["id"].dataType == duplicates.schema["duplicate_of"].dataType == frame.schema["number"].dataType
    assert {(row.id, row.duplicate_of, row.representative, row.method) for row in duplicates.collect()} == {
        (2, 1, 1, "minhash"),
        (3, 2, 1, "identical"),
    }
    assert summary.neighbours == Neighbours(4, 3, 0)
    assert not (tmp_path / "out" / "rejects").exists()


def test_vectors_are_compared_instead_of_texts(spark, tmp_path):
    vectors = [[1, 0, 0], [0.99, 0.1, 0], [0, 1, 0.5], None, [], [1, 0], [0, 0, 0], [1, math.nan, 0], [2, 0, 0], [0, 2, 1]]
    path = parquet(tmp_path / "a.parquet", n=range(10), persona=["the same"] * 10, v=pa.array(vectors, pa.list_(pa.float64())))
    request = Request(str(path), str(tmp_path / "out"), id_column="n", vector_column="v", audit=True)
    summary = run(request, load(overrides=["dedup.semantic.threshold=0.95"]))
    reasons = {"no_vector": 2, "vector_dimension": 1, "vector_not_finite": 1, "vector_zero": 1}
    assert summary.counts == Counts(10, 2, {"semantic": 3}, reasons)
    assert [row["n"] for row in read(tmp_path / "out" / "kept")] == [0, 2]
    assert {row["id"]: row["duplicate_of"] for row in read(tmp_path / "out" / "duplicates")} == {1: 0, 8: 0, 9: 2}
    assert summary.neighbours == Neighbours(5, 5, 0)
    assert [finding.claim for finding in summary.findings if not finding.holds] == []


def test_vectors_need_no_texts_beside_them(spark, tmp_path):
    path = parquet(tmp_path / "a.parquet", n=range(3), v=[[1.0, 0.0], [0.0, 1.0], [0.1, 9.0]])
    summary = run(Request(str(path), str(tmp_path / "out"), id_column="n", vector_column="v"), load())
    assert summary.counts == Counts(3, 2, {"semantic": 1}, {})
    [group] = summary.groups
    assert (group.id, group.text, [member.id for member in group.members]) == (1, None, [2])
    with pytest.raises(InputError, match="there is no column 'persona' for the text"):  # ids would be made of it
        run(Request(str(path), str(tmp_path / "other"), vector_column="v"), load())


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([{"text": "a", "n": 1}], {}, "there is no column 'persona' for the text; .*text"),
        ([{"persona": "a"}], {"text_column": "personna"}, "there is no column 'personna' for the text; did you mean persona"),
        ([{"persona": 1, "text": "b"}], {}, "'persona' for the text is of type bigint, yet texts are strings: there is text"),
        ([{"persona": "a", "id": 1.5}], {"id_column": "id"}, "ids are strings or whole numbers"),
        ([{"persona": "a", "v": "0.1,0.2"}], {"vector_column": "v"}, "vectors are arrays of numbers"),
        ([{"persona": "a", "id": n} for n in ("x", "y", "x", None)], {"id_column": "id"}, "null on 1, 'x' on 2 rows"),
        (["", " "], {}, "is empty, or no line of it is a JSON object"),
        (["hello"], {}, "is empty, or no line of it is a JSON object"),
        (['{"persona": "a", "Persona": "b"}'], {}, "names that differ only in case"),
    ],
)
def test_an_input_that_cannot_be_used_leaves_nothing_behind(spark, tmp_path, rows, columns, message):
    path = jsonl(tmp_path / "in.jsonl", rows)
    with pytest.raises(InputError, match=message):
        run(Request(str(path), str(tmp_path / "out"), **columns), load())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("ids", "message"),
    [(["a", "b", None], "null on 1 rows"), ([7, 8, 7], "7 on 2 rows"), (["a", None, None, "a"], "null on 2, 'a' on 2 rows")],
)
def test_ids_of_parquet_are_those_of_one_row_each(spark, tmp_path, ids, message):
    path = parquet(tmp_path / "in.parquet", id=ids, persona=[f"cook {n}" for n in range(len(ids))])
    with pytest.raises(InputError, match=message):
        run(Request(str(path), str(tmp_path / "out"), id_column="id"), load())


def test_an_input_that_changes_meanwhile(spark, tmp_path, monkeypatch):
    path = parquet(tmp_path / "in.parquet", id=[1, 2, 3, 4], persona=[COOK, *OTHERS])
    request = Request(str(path), str(tmp_path / "out"), id_column="id")
    with monkeypatch.context() as patched:
        patched.setattr(files, "_measured", lambda *_: os.utime(path, ns=(1, 1)))
        with pytest.raises(InputError, match="has changed while it was read"):
            run(request, load())
    assert not (tmp_path / "out").exists()
    run(request, load())
    assert len(read(tmp_path / "out" / "kept")) == 4


def test_damaged_files(spark, tmp_path):
    whole = jsonl(tmp_path / "a.jsonl.gz", [{"persona": f"cook {n} {random.random()}"} for n in range(2000)]).read_bytes()
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "none.parquet").write_bytes(b"PAR1 and nothing")
    page = bytearray(parquet(tmp_path / "b.parquet", persona=[f"cook {random.random()}" for _ in range(2000)]).read_bytes())
    page[200:2000] = bytes(1800)
    (tmp_path / "page.parquet").write_bytes(page)
    for name in ("cut.jsonl.gz", "none.parquet", "page.parquet"):
        with pytest.raises(InputError, match=f"{name} is damaged, or no"):
            run(Request(str(tmp_path / name), str(tmp_path / "out")), load())
    assert not (tmp_path / "out").exists()


def test_an_empty_table(spark, tmp_path):
    path = parquet(tmp_path / "a.parquet", persona=pa.array([], pa.string()))
    with pytest.raises(InputError, match="holds no row"):
        run(Request(str(path), str(tmp_path / "out")), load())


def test_a_table_of_rejects_alone(spark, tmp_path):
    path = jsonl(tmp_path / "a.jsonl", [{"persona": None}, {"persona": " "}])
    done = run(Request(str(path), str(tmp_path / "out")), load())
    assert (done.counts.rows, done.counts.kept) == (2, 0)
    assert spark.read.parquet(str(tmp_path / "out" / "kept")).isEmpty()


def test_what_ends_a_run_leaves_the_older_results(spark, tmp_path, monkeypatch):
    path, out = jsonl(tmp_path / "a.jsonl", [{"persona": COOK}]), tmp_path / "out"
    (out / "kept").mkdir(parents=True)
    (out / "kept" / "older").touch()
    request = Request(str(path), str(out), overwrite=True)
    for error, told in ((KeyboardInterrupt, Interrupted), (OSError, OSError)):

        def fail(*_, error=error, **__):
            (out / "_scratch" / "half").mkdir(parents=True)
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(files, "_separated", fail)
            with pytest.raises(told):
                run(request, load())
        assert [path.name for path in out.iterdir()] == ["kept"]
    with Lease(out, "another"), pytest.raises(RootInUse, match="another"):
        run(request, load())
    run(request, load())
    assert read(out / "kept") == [{"persona": COOK}]


# -- on a DataFrame ----------------------------------------------------------------------------------------------------------------------


def test_the_same_on_a_frame(spark, tmp_path):
    frame = spark.createDataFrame([(text, n) for n, text in enumerate([*COOKS, *OTHERS, ""])], "persona string, n int")
    with deduplicate_frame(frame, config=load().dedup, scratch=str(tmp_path)) as found:
        assert found.counts.rows == 8
        assert found.counts.kept == found.kept.count() == 4
        assert found.kept.schema == frame.schema
        assert found.duplicates.count() == 3
        assert [row.reason for row in found.rejects.collect()] == ["empty_text"]
        assert any(tmp_path.rglob("*.parquet"))
    assert not any(tmp_path.rglob("*.parquet"))


def test_ids_from_texts_do_not_depend_on_the_order(spark):
    rows = [
        ("A cook", 1, {"x": 1}),
        ("a  COOK", 2, {"x": 2}),
        ("a cook", 2, {"x": 3}),
        ("a cook", 2, {"x": 3}),
        (None, 4, None),
        ("b", 5, {}),
    ]
    schema = "text string, n int, more map<string,int>"
    made = []
    for seed in range(2):
        random.Random(seed).shuffle(rows)
        staged = with_ids(spark.createDataFrame(rows, schema).repartition(3), "text", None)
        made.append(sorted(((row.id, row.row.text, row.row.n, str(row.row.more)) for row in staged.collect()), key=str))
    assert made[0] == made[1]
    cook = ids.persona_id("a cook")
    assert [row[0] for row in made[0] if row[0].startswith(cook)] == [cook, f"{cook}-1", f"{cook}-2", f"{cook}-3"]
    assert ids.persona_id("") in {row[0] for row in made[0]}


@pytest.mark.slow
@pytest.mark.spark
def test_scratch_may_be_tables_of_a_catalog(spark):
    spark.sql("CREATE DATABASE IF NOT EXISTS dedup_scratch")
    frame = spark.createDataFrame([(text,) for text in COOKS], "persona string")
    try:
        with deduplicate_frame(frame, scratch="spark_catalog.dedup_scratch") as found:
            assert found.counts.kept == 1
            assert spark.sql("SHOW TABLES IN dedup_scratch").count()
        assert not spark.sql("SHOW TABLES IN dedup_scratch").count()
    finally:
        spark.sql("DROP DATABASE dedup_scratch CASCADE")


def test_an_empty_frame_has_no_duplicates(spark):
    with deduplicate_frame(spark.createDataFrame([], "persona string")) as found:
        assert found.counts == Counts(0, 0, {}, {})
        assert found.kept.columns == ["persona"]


def test_names_that_sql_would_read_otherwise(spark):
    frame = spark.createDataFrame([(COOKS[0], 1), (COOKS[1], 2)], "`the.text` string, `an id` int")
    with deduplicate_frame(frame, "the.text", "an id") as found:
        assert [tuple(row) for row in found.kept.collect()] == [(COOKS[0], 1)]
        assert found.kept.columns == ["the.text", "an id"]
        assert found.texts.where(F.col("text").isNull()).count() == 0


def test_the_audit_of_results_without_rejects(spark, tmp_path):
    path = jsonl(tmp_path / "a.jsonl", [{"persona": COOK}, {"persona": COOK.upper()}])
    summary = run(Request(str(path), str(tmp_path / "out"), audit=True), load())
    assert not (tmp_path / "out" / "rejects").exists()
    assert all(finding.holds for finding in summary.findings)
