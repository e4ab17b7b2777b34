"""The journal: each outcome is on disk as it arrives, before it is yielded, so that a kill costs what is in flight.

Layout: `<folder>/<stage>/<window>/<task>-<attempt>.jsonl`, one row of `completions`, or of `embeddings`, a line. An outcome's lines are
appended with one write (O_APPEND), so that a kill tears at most the last outcome.
"""

import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

Row = dict[str, Any]
KEY, KEY_OF_VECTOR = "completion_id", "text_id"  # by which a ledger knows a row of `completions`, of `embeddings`


class Writer:
    """Appends to the file of one task attempt."""

    def __init__(self, folder: str, stage: str, window: int, task: str, attempt: int) -> None:
        self._path = window_folder(folder, stage, window) / f"{task}-{attempt}.jsonl"
        self._file: int | None = None

    def write(self, *rows: Row) -> None:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        lines = memoryview(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        while lines:  # one write, unless the disk is full or a signal cuts it
            lines = lines[os.write(self._file, lines) :]

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def window_folder(folder: str, stage: str, window: int) -> Path:
    return Path(folder) / stage / str(window)


def read_window(folder: str, stage: str, window: int, task: str = "*") -> list[Row]:
    """What tasks of this window have bought, or earlier attempts of one of them."""
    return [row for path in sorted(window_folder(folder, stage, window).glob(f"{task}-*.jsonl")) for row in _rows(path)]


def read_files(folder: str) -> Iterator[list[Row]]:
    """What a run that died has left behind, of every stage, file by file: vectors of many windows would not fit into memory."""
    for path in sorted(Path(folder).glob("*/*/*.jsonl")):
        yield list(_rows(path))


def _rows(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        for line in file:
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue  # torn by a kill
            if isinstance(row, dict) and (KEY in row or KEY_OF_VECTOR in row):
                yield row


def once(rows: Iterable[Row], key: str = KEY) -> list[Row]:
    """At most one final row per key; failures are kept, for what they cost."""
    final: dict[str, Row] = {}
    failed: list[Row] = []
    for row in rows:
        if row["final"]:
            final.setdefault(row[key], row)
        else:
            failed.append(row)
    return [*final.values(), *failed]


def forget_window(folder: str, stage: str, window: int) -> None:
    """A committed window needs no journal."""
    shutil.rmtree(window_folder(folder, stage, window), ignore_errors=True)


def forget_all(folder: str) -> None:
    for path in Path(folder).glob("*/*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)


NONCE = ".nonce"


def write_nonce(folder: str, nonce: str) -> bool:
    """On the driver: can the journal live here at all?"""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / NONCE).write_text(nonce)
        return True
    except OSError:
        return False


def shares_folder(folder: str, nonce: str) -> bool:
    """In a task: is this the driver's folder, and may I append to it?"""
    try:
        if (Path(folder) / NONCE).read_text() != nonce:
            return False
        probe = Path(folder) / f".probe-{uuid.uuid4().hex}"  # tasks may be threads of one process
        probe.write_text("")
        probe.unlink()
        return True
    except OSError:
        return False
