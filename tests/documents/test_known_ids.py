"""Two corpora whose files have one name: nothing of the second is lost without a word."""

import json
from collections import Counter

import pytest

from personahub import pipeline
from personahub.config import load

TEXT = "The lock keeper of canal {0} counts the barges that pass before the ice comes, and the herons that stay behind. " * 4


@pytest.fixture
def corpus(tmp_path):
    """(its folder, values of a column) -> the file part-0.jsonl in it."""

    def write(folder, column, *values, **more):
        (tmp_path / folder).mkdir(exist_ok=True)
        file = tmp_path / folder / "part-0.jsonl"
        file.write_text("".join(json.dumps({column: value, **more}) + "\n" for value in values))
        return file

    return write


@pytest.fixture
def config_of(tmp_path, spark):
    return lambda *more: load(overrides=[f"root={tmp_path / 'hub'}", "documents.format=jsonl", "documents.languages=[]", *more])


def test_a_document_whose_id_is_that_of_another_text_is_a_reject_and_told_of(config_of, corpus, capsys):
    a = corpus("a", "text", TEXT.format(0), TEXT.format(1), "too short, of a")
    b = corpus("b", "text", TEXT.format(0), TEXT.format(2), "too short, of b")
    repeated = corpus("c", "text", TEXT.format(3), TEXT.format(4), id="one")

    def read(file):
        with pipeline.open_hub(config_of(f"documents.path={file}"), spend=True) as hub:
            [result] = pipeline.run(hub, ["documents"])
            return result.counts, hub.store.table("documents").collect(), hub.store.table("rejects").collect()

    assert read(a)[0] == {"documents": 2, "rejects": 1}
    assert "left out" not in capsys.readouterr().out
    counts, documents, rejects = read(b)
    assert counts == {"documents": 0, "rejects": 2}
    assert "1 texts are left out, rejects id_taken" in capsys.readouterr().out
    assert [(row.source_id, row.raw) for row in rejects if row.reason == "id_taken"] == [
        ("part-0.jsonl/1", TEXT.format(2)[:2000])
    ]
    assert {row.raw for row in rejects if row.reason != "id_taken"} == {"too short, of a", "too short, of b"}
    counts, documents, rejects = read(repeated)
    assert counts == {"documents": 1, "rejects": 1}
    assert {row.document_id: row.text for row in documents}["one"] == TEXT.format(3)  # the first of them
    for file in (a, b, repeated):
        assert read(file)[0] == {"documents": 0, "rejects": 0}


def test_personas_that_are_refused_in_files_of_one_name_are_all_told_of(config_of, corpus):
    good = "A lock keeper who counts barges"
    files = [corpus(folder, "persona", good, "x" * 900 + folder) for folder in "ab"]
    with pipeline.open_hub(config_of(), spend=True) as hub:
        counts = [dict(pipeline.import_personas(hub, pipeline.personas_file(str(file))).counts) for file in files * 2]
        reasons = Counter(row.reason for row in hub.store.table("rejects").collect())
    assert [one["personas"] for one in counts] == [1, 0, 0, 0]
    assert [one["rejects"] for one in counts] == [1, 1, 0, 0]
    assert list(reasons.values()) == [2]
