"""The journal: each outcome is on disk as it arrives, before it is yielded, so that a kill costs what is in flight.

Layout: `<folder>/<stage>/<window>/<task>-<attempt>.jsonl`, one row of `completions`, or of `embeddings`, a line. An outcome's lines are
appended with one write (O_APPEND), so that a kill tears at most the last outcome. Where the disk is full, what is in flight is written in
the room of a reserve, which was set aside before anything was bought.
"""

import errno
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
        self._folder = folder
        self._path = window_folder(folder, stage, window) / f"{task}-{attempt}.jsonl"
        self._file: int | None = None

    def write(self, *rows: Row) -> None:
        """Raises OSError, on a full disk after the rows were written all the same, if the reserve has room for them."""
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        lines = b"".join(orjson.dumps(row) + b"\n" for row in rows)
        try:
            self._append(lines)
        except OSError as error:
            if error.errno in FULL:
                release_reserve(self._folder)
                self._append(lines)
            raise

    def _append(self, lines: bytes) -> None:
        """All of them or, where that fails, nothing: what follows half a line would be lost with it."""
        assert self._file is not None
        start, left = os.fstat(self._file).st_size, memoryview(lines)
        try:
            while left:  # one write, unless the disk is full or a signal cuts it
                left = left[os.write(self._file, left) :]
        except OSError:
            os.ftruncate(self._file, start)
            raise

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


NONCE, RESERVE = ".nonce", ".reserve"
RESERVE_BYTES = 4 << 20  # a thousand answers
FULL = (errno.ENOSPC, errno.EDQUOT)


def write_nonce(folder: str, nonce: str) -> bool:
    """On the driver: can the journal live here at all?"""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / NONCE).write_text(nonce)
        return True
    except OSError as error:
        if error.errno in FULL:
            raise
        return False


def keep_reserve(folder: str) -> None:
    """Set room aside for the answers that are in flight when the disk gets full. Raises OSError if there is none: nothing is bought yet."""
    path = Path(folder) / RESERVE
    if not path.exists() or path.stat().st_size < RESERVE_BYTES:
        path.write_bytes(bytes(RESERVE_BYTES))


def release_reserve(folder: str) -> None:
    (Path(folder) / RESERVE).unlink(missing_ok=True)


def shares_folder(folder: str, nonce: str) -> bool:
    """In a task: is this the driver's folder, and may I append to it?"""
    try:
        if (Path(folder) / NONCE).read_text() != nonce:
            return False
        probe = Path(folder) / f".probe-{uuid.uuid4().hex}"  # tasks may be threads of one process
        for _ in range(2):  # some mounted stores make files, and append to none
            with probe.open("ab") as file:
                file.write(b"x")
        appended = probe.read_bytes() == b"xx"
        probe.unlink()
        return appended
    except OSError:
        return False
