from personahub.config import Model
from personahub.errors import ErrorKind
from personahub.inference.chat_work import ledger_row
from personahub.llm import journal
from personahub.llm.types import ChatCall, Outcome

MODEL = Model(in_mtok_cost=1.0, out_mtok_cost=2.0)


def row(name: str, final: bool = True) -> journal.Row:
    call = ChatCall(name, "source", 0, "prompt", "1", [])
    kind = None if final else ErrorKind.SERVER
    return ledger_row(Outcome(call, final, kind, "text", "stop", None, 100, 50, 0.1, 1, 1.5), "stage", "purpose", "run", MODEL)


def test_a_row_costs_all_its_tokens():
    assert row("a")["cost_usd"] == (100 * 1.0 + 50 * 2.0) / 1e6
    assert row("a")["created_at"] == 1_500_000


def test_what_was_written_is_read_back_without_the_torn_last_line(tmp_path):
    folder = str(tmp_path)
    first = journal.Writer(folder, "stage", 0, "3", attempt=1)
    first.write(row("a"))
    first.write(row("b", final=False))
    first.close()
    path = tmp_path / "stage" / "0" / "3-1.jsonl"
    path.write_bytes(path.read_bytes() + b'{"completion_id": "to')
    second = journal.Writer(folder, "stage", 0, "3", attempt=2)
    second.write(row("c"))
    second.close()
    assert [each["completion_id"] for each in journal.read_window(folder, "stage", 0, "3")] == ["a", "b", "c"]
    assert journal.read_window(folder, "stage", 0, "4") == []
    assert [each["completion_id"] for rows in journal.read_files(folder) for each in rows] == ["a", "b", "c"]
    journal.forget_window(folder, "stage", 0)
    assert list(journal.read_files(folder)) == []


def test_one_final_row_per_completion_and_every_failure():
    rows = [row("a"), row("a"), row("a", final=False), row("b", final=False)]
    assert [(each["completion_id"], each["final"]) for each in journal.once(rows)] == [("a", True), ("a", False), ("b", False)]


def test_only_the_drivers_own_folder_counts_as_shared(tmp_path):
    assert journal.write_nonce(str(tmp_path / "j"), "n1")
    assert journal.shares_folder(str(tmp_path / "j"), "n1")
    assert not journal.shares_folder(str(tmp_path / "j"), "n2")
    assert not journal.shares_folder(str(tmp_path / "elsewhere"), "n1")
    (tmp_path / "file").write_text("")
    assert not journal.write_nonce(str(tmp_path / "file"), "n1")
