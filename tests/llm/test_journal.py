import errno
import os
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from personahub.config import Model
from personahub.errors import ErrorKind
from personahub.inference.chat_work import ledger_row
from personahub.llm import journal
from personahub.llm.types import ChatCall, Outcome, Usage

MODEL = Model(in_mtok_cost=1.0, out_mtok_cost=2.0)


def row(name: str, final: bool = True) -> journal.Row:
    call = ChatCall(name, "source", 0, "prompt", "1", [])
    kind = None if final else ErrorKind.SERVER
    return ledger_row(
        Outcome(call, final, kind, "text", "stop", None, Usage(100, completion=50), 0.1, 1, 1.5), "stage", "purpose", "run", MODEL
    )


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


@pytest.fixture
def small_disk():
    """A file system of 6 MiB."""
    with tempfile.TemporaryDirectory() as folder:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "none", folder], capture_output=True).returncode:
            pytest.skip("no file system can be mounted here")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


def test_what_is_in_flight_when_the_disk_gets_full_is_written_into_the_reserve(small_disk):
    folder = str(small_disk)
    journal.keep_reserve(folder)
    writer = journal.Writer(folder, "stage", 0, "3", attempt=1)
    writer.write(row("a"))
    with (small_disk / "other").open("wb", buffering=0) as other, suppress(OSError):
        while other.write(bytes(4096)):
            pass
    with pytest.raises(OSError, match="No space left"):  # the task must end
        writer.write({**row("b"), "text": "x" * 10_000})
    with pytest.raises(OSError, match="No space left"):
        journal.keep_reserve(folder)
    journal.release_reserve(folder)
    writer.write(row("last"))
    writer.close()
    names = [each["completion_id"] for each in journal.read_window(folder, "stage", 0, "3")]
    assert names == ["a", "b", "last"]


def test_half_a_line_is_taken_back(tmp_path, monkeypatch):
    writer = journal.Writer(str(tmp_path), "stage", 0, "3", attempt=1)
    writer.write(row("a"))
    written, real = [], os.write

    def half(file, lines):
        written.append(real(file, lines[:10]) if not written else None)
        if len(written) > 1:
            raise OSError(errno.EIO, "Input/output error")
        return 10

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(OSError, match="Input/output"):
            writer.write(row("b"))
    writer.write(row("c"))
    writer.close()
    assert [each["completion_id"] for each in journal.read_window(str(tmp_path), "stage", 0, "3")] == ["a", "c"]
