"""What a run that died has left in its journal is saved, once."""

import numpy as np
import pytest

from personahub.config import Model, load
from personahub.errors import ConfigError, ErrorKind
from personahub.inference import drain_journals, lease_folder
from personahub.inference.chat_work import ledger_row
from personahub.inference.vector_work import ledger_rows
from personahub.llm import journal
from personahub.llm.embeddings import packed
from personahub.llm.types import ChatCall, EmbeddingCall, Outcome, Usage
from personahub.storage.delta import Store

SINCE_VERSION_3 = ("cached_tokens", "cache_write_tokens", "reasoning_tokens", "tokens_estimated")


def row(name: str, final: bool = True, at: float = 1.0) -> journal.Row:
    kind = None if final else ErrorKind.SERVER
    return ledger_row(
        Outcome(ChatCall(name, "s", 0, "p", "1", []), final, kind, name, "stop", None, Usage(1, completion=1), 0.1, 1, at),
        "stage",
        "purpose",
        "run",
        Model(),
    )


def test_journals_are_saved_once_whatever_was_committed_before(spark, tmp_path):
    config = load(overrides=[f"root={tmp_path}"])
    store = Store(spark, config)
    writer = journal.Writer(str(tmp_path / "_journal"), "stage", 0, 0, 1)
    earlier = {column: value for column, value in row("b").items() if column not in SINCE_VERSION_3}
    for each in (row("a"), earlier, row("c", final=False)):
        writer.write(each)
    assert drain_journals(store, config) == 3
    assert drain_journals(store, config) == 0
    assert not list((tmp_path / "_journal").glob("*/*"))
    # a window that was committed just before the kill: its journal is still there
    writer = journal.Writer(str(tmp_path / "_journal"), "stage", 1, 0, 1)
    for each in (row("a"), row("c", final=False), row("c", at=2.0), row("d")):
        writer.write(each)
    assert drain_journals(store, config) == 2
    found = sorted((each.completion_id, each.final) for each in store.table("completions").collect())
    assert found == [("a", True), ("b", True), ("c", False), ("c", True), ("d", True)]
    assert {each.completion_id: each.tokens_estimated for each in store.table("completions").collect()}["b"] is None


def vector_rows(names: str, final: bool = True, at: float = 1.0) -> list[journal.Row]:
    texts, vectors = EmbeddingCall(tuple(names), tuple(names)), (packed(np.array([1.0, 2.0])),) * len(names)
    kind = None if final else ErrorKind.SERVER
    outcome = Outcome(texts, final, kind, None, None, None, Usage(5), 0.1, 1, at, vectors if final else ())
    return ledger_rows(outcome, "dedup", "vectors", "run", Model(model="e"))


def test_vectors_are_saved_the_same_way(spark, tmp_path):
    config = load(overrides=[f"root={tmp_path}"])
    store = Store(spark, config)
    for window, rows in enumerate((vector_rows("abc"), [*vector_rows("cd", at=2.0), *vector_rows("e", final=False)])):
        writer = journal.Writer(str(tmp_path / "_journal"), "dedup", window, 0, 1)
        writer.write(*rows)
        writer.write(row(f"answer {window}"))
        assert drain_journals(store, config) == (4 if window == 0 else 3)
    found = sorted((each.text_id, each.final, each.vector, each.dimensions) for each in store.table("embeddings").collect())
    assert found == [*[(name, True, [1.0, 2.0], 2) for name in "abcd"], ("e", False, None, None)]
    assert store.table("completions").count() == 2


def test_tables_that_are_no_folder_need_a_place_for_the_lease():
    assert lease_folder(load(overrides=["catalog=main.hub", "inference.journal_path=/mnt/x"])) == "/mnt/x"
    with pytest.raises(ConfigError, match="journal_path"):
        lease_folder(load(overrides=["root=s3://bucket/hub"]))
