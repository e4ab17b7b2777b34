import io
import json
import re

import pytest
from rich.console import Console

from personahub import figures
from personahub.cli import main
from personahub.config import load
from personahub.dedup.proof.audit import Finding
from personahub.dedup.proof.neighbours import Neighbours
from personahub.dedup_tool import files
from personahub.dedup_tool.files import Request, Summary
from personahub.dedup_tool.frame import Counts
from personahub.render import deduplication as views

GROUP = figures.Group(
    "k1",
    "A [cook] who bakes",
    31,
    (figures.Member("d1", "A [/b] cook", "exact", 0.9), figures.Member("d2", None, "identical", 1.0)),
)
SUMMARY = Summary(
    Counts(20_000, 18_000, {"identical": 1200, "minhash": 700}, {"bad_json": 100}),
    (GROUP, figures.Group("k2", "One text", 2, ())),
    Neighbours(512, 400, 1),
    (Finding("every row is there", True, "20,000 in"), Finding("no two are alike", False, "1 of 18,000 do")),
    75.0,
)


@pytest.fixture
def personahub(capsys):
    """Runs the command line in this process -> (exit code, stdout, stderr)."""

    def run(*arguments: object):
        capsys.readouterr()
        try:
            main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as ended:
            code = ended.code
        return (code or 0, *capsys.readouterr())

    return run


def printed(*overrides, width=80, **request):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    asked = Request("in.jsonl", "out/", **request)
    views.summary(console, SUMMARY, asked, load(overrides=["dedup.lexical.method=minhash", *overrides]).dedup)
    return console.file.getvalue()


def test_the_summary_tells_where_every_row_went():
    shown = printed()
    for name, rows, share in (
        ("read", "20,000", "100.00%"),
        ("rejected: bad_json", "100", "0.50%"),
        ("identical sets of words", "1,200", "6.00%"),
        (r"lexical \(minhash, Jaccard >= 0.9\)", "700", "3.50%"),
        ("kept", "18,000", "90.00%"),
    ):
        assert re.search(rf"^ {name} +{rows} +{share} *$", shown, re.MULTILINE), name
    assert "1 min 15 s" in shown
    assert "out/kept, out/duplicates, out/rejects" in shown
    assert 'pandas.read_parquet("out/kept")' in shown
    assert "personahub.ids.persona_id(text)" in shown
    assert "persona_id" not in printed(id_column="n")
    assert 'Load them: spark.read.format("delta").load("out/kept")' in printed(format="delta")


def test_the_summary_tells_what_minhash_may_have_missed():
    assert (
        "recall, measured on 512 texts: 400 have a near-duplicate, 1 kept beside a kept one (99.7500%); "
        "16 bands of 8 find 99.9877% at the threshold\n"
    ) in printed()
    texts = views.recall(Neighbours(3, 0, 0), load().dedup, vectors=False)
    assert "0 have a near-duplicate, 0 kept beside a kept one; 16 bands" in texts
    vectors = views.recall(Neighbours(512, 200, 0), load().dedup, vectors=True)
    assert vectors == "recall, measured on 512 vectors: 200 have a near-duplicate, 0 kept beside a kept one (100.0000%)"


def test_texts_are_no_markup():
    shown = printed()
    assert " 1. represents 31: A [cook] who bakes\n      0.9000 exact  A [/b] cook\n" in shown
    assert "(no text, id d2)" in shown
    assert " 2. represents 2: One text\n      all with this very text\n" in shown


def test_an_audit_says_what_is_broken():
    shown = printed()
    assert "holds   every row is there: 20,000 in\n" in shown
    assert "BROKEN  no two are alike: 1 of 18,000 do\n" in shown
    assert "1 of 2 claims is broken" in shown
    console = Console(file=io.StringIO())
    views.findings(console, SUMMARY.findings[:1])
    assert "all 1 claims hold" in console.file.getvalue()


def test_vectors_have_a_line_of_their_own():
    shown = printed("dedup.semantic.threshold=0.8", vector_column="v")
    assert "semantic (cosine >= 0.8)" in shown
    assert "identical" not in shown.split("largest groups")[0]


@pytest.mark.parametrize("width", [40, 80])
def test_the_funnel_fits_the_terminal(width):
    funnel = printed(width=width).split("recall, measured")[0]
    assert max(len(line) for line in funnel.splitlines()) <= width


def test_a_broken_invariant_is_exit_1(personahub, monkeypatch, tmp_path):
    monkeypatch.setattr(files, "run", lambda *_, **__: SUMMARY)
    code, out, _ = personahub("dedup", "in.jsonl", "--out", tmp_path / "out", "--audit")
    assert code == 1
    assert "BROKEN" in out


def test_explain_shows_the_bands_and_their_curve(personahub):
    code, out, _ = personahub("dedup", "--explain", "--method", "minhash", "--threshold", "0.9")
    assert code == 0
    assert "128 permutations in 16 bands of 8 values" in out
    assert re.search(r"^ +0.9 +0.99988 +#{40} <- threshold *$", out, re.MULTILINE)
    assert re.search(r"^ +0.7 +0.61\d+ +#{2,39} *$", out, re.MULTILINE)


def test_explain_shows_what_the_threshold_means_for_texts(personahub):
    code, out, _ = personahub("dedup", "--explain")
    assert code == 0
    assert "recall 1" in out
    assert re.search(r"^ +18 +0 +2 +1 *$|^ +19 +1 +2 +1 *$", out, re.MULTILINE)  # one word of nineteen may be another one
    assert "runs of 3 characters" in personahub("dedup", "--explain", "--unit", "character", "--ngram", "3")[1]
    assert "4 on average" in personahub("dedup", "--explain", "--vectors", "v")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name what to read: personahub dedup INPUT --out DIR"),
        (["in.jsonl"], "name where the results go: --out DIR"),
        (["nowhere.jsonl", "--out", "out"], "there is no nowhere.jsonl"),
        (["in.jsonl", "--out", "out", "--threshold", "0.1"], "config key dedup.lexical.threshold"),
        (["in.jsonl", "--out", "out", "--ngram", "0"], "config key dedup.lexical.ngram"),
        (["in.jsonl", "--out", "out", "--vectors", "v", "--threshold", "2"], "config key dedup.semantic.threshold"),
        (["in.jsonl", "--out", "out", "--vectors", "v", "--ngram", "2"], "with --vectors none are compared"),
        (["in.jsonl", "--out", "out", "--method", "fuzzy"], "fuzzy"),
        (["--explain", "--method", "minhash", "--set", "dedup.lexical.num_perm=16", "--threshold", "0.3"], "no bands of 16"),
    ],
)
def test_wrong_usage_is_exit_2_and_one_message(personahub, arguments, message):
    code, out, err = personahub("dedup", *arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err + out


def test_from_a_file_to_results(personahub, spark, tmp_path):
    texts = ["A lighthouse keeper who paints ships", "a lighthouse keeper who paints SHIPS!", "A cook", ""]
    path = tmp_path / "personas.jsonl"
    path.write_text("".join(json.dumps({"id": number, "persona": text}) + "\n" for number, text in enumerate(texts)))
    arguments = ("dedup", path, "--id-column", "id", "--out", tmp_path / "out")
    code, out, err = personahub(*arguments)
    assert code == 0, err
    assert re.search(r"^ kept +2 +50.00% *$", out, re.MULTILINE)
    assert " 1. represents 1: A lighthouse keeper who paints ships\n" in out
    assert {row.id for row in spark.read.parquet(str(tmp_path / "out" / "kept")).collect()} == {0, 2}

    code, _, err = personahub(*arguments)
    assert code == 2
    assert "holds results already (kept, duplicates, rejects): name another --out, or replace them with --overwrite" in err
