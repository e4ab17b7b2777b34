"""The input of `personahub dedup`: parquet, jsonl or Delta, detected from the path; and the engine's complaints as InputErrors."""

import glob
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame

from personahub.dedup_tool import jsonl, parquet
from personahub.documents.files import kind_by_name, kind_of
from personahub.errors import InputError
from personahub.storage.delta import Store
from personahub.text import nearest

_KINDS = "parquet (.parquet, .parq, .pq), jsonl (.jsonl, .ndjson, .json, each also .gz, .bz2, .xz, .zst) or a Delta table"
# Spark's [ERROR_CONDITION] of a file that cannot be read; the line after the last "Caused by" says why
_DAMAGED = re.compile(r"\[FAILED_READ_FILE[A-Z_.]*\] Encountered error while reading file (?P<file>\S+?)\.\s")
_PARQUET_ERROR = re.compile(r"\bParquet\b.*\berror: ")  # the embedded engine does not say in which file
_NOT_KEPT = re.compile(rf"{parquet.NOT_KEPT} [^\n]*")
_CONDITION = re.compile(r"\[(?P<name>[A-Z][A-Z0-9_.]+)\] (?P<text>.+)")


@dataclass(frozen=True)
class Source:
    """An input. `files`: what is read, below `folder` where there is one; name: as the user wrote it."""

    name: str
    format: str
    files: tuple[str, ...]
    folder: str | None = None


def detect(path: str) -> Source:
    """What lies at `path`: a file, a folder, a glob or a URL. Needs no engine. Raises InputError.

    A folder is searched to its bottom; names that begin with _ or . are passed over, as engines do. What lies behind a URL is told from its
    ending; without one it is a Delta table.
    """
    if is_remote(path):
        return Source(path, kind_by_name(path) or "delta", (path,))
    place = Path(path).expanduser()
    if place.is_dir():
        return _folder(path, place.absolute())
    if place.exists():
        return _file(path, place.absolute())
    found = _matches(place)
    if not found:
        beside = [other.name for other in place.parent.iterdir()] if place.parent.is_dir() else []
        near = nearest(place.name, beside) if beside else ""
        raise InputError(f"there is no {path}{near if near.startswith('; did') else ''}")
    sources = [detect(one) for one in found]
    if len({source.format for source in sources}) > 1 or (sources[0].format == "delta" and len(sources) > 1):
        raise InputError(f"{path} names files of several kinds, or several Delta tables: name one kind, or one table")
    return Source(path, sources[0].format, tuple(file for source in sources for file in source.files))


def is_remote(path: str) -> bool:
    """A URL: it is checked only when it is read."""
    return "://" in path


def read(store: Store, source: Source) -> DataFrame:
    """The rows of `source`; of jsonl also jsonl.UNREADABLE, null where the line was a JSON object. Raises InputError."""
    with complaints(source, always=True):
        if source.format == "delta":
            return store.read_delta(source.files[0])
        if source.format == "jsonl":
            return jsonl.read(store.spark, source.name, source.files, source.folder)
        _check_parquet(source)
        return parquet.read(store.spark, source.files, source.folder)


def stamps(source: Source) -> tuple[tuple[str, int, int], ...] | None:
    """Name, size and time of each file; None if some are remote."""
    if any(is_remote(file) for file in source.files):
        return None
    found = [(file, os.stat(file)) for file in source.files]
    return tuple((file, stat.st_size, stat.st_mtime_ns) for file, stat in found)


def check_unchanged(source: Source, before: tuple[tuple[str, int, int], ...] | None) -> None:
    """Raises InputError if files of the source are no longer those of `before`."""
    try:
        same = stamps(source) == before
    except OSError:
        same = False
    if not same:
        raise InputError(f"{source.name} has changed while it was read: no results were written")


def _check_parquet(source: Source, *, wholly: bool = False) -> None:
    """Raises InputError if the footer of a local file cannot be read, or, `wholly`, any of its rows: not every engine names the file."""
    for file in source.files if source.format == "parquet" else ():
        if is_remote(file):
            continue
        try:
            with pq.ParquetFile(file) as opened:
                for batch in opened.iter_batches() if wholly else ():
                    batch.validate(full=True)  # of strings, too, that they are UTF-8
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{file} is damaged, or no parquet file: {error}") from None


@contextmanager
def complaints(source: Source, *, always: bool = False) -> Iterator[None]:
    """The engine's errors about a damaged file become InputErrors; `always`: all its errors about the input."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        text = str(error)
        damaged = _DAMAGED.search(text)
        if damaged:
            causes = re.findall(r"Caused by: [\w.$]+: (.*)", text)
            why = causes[-1] if causes else "the engine cannot read it"
            file = re.sub(r"^file:/*", "/", damaged["file"])
            raise InputError(f"{file} is damaged, or no {source.format} file: {why}") from None
        if kept := _NOT_KEPT.search(text):
            raise InputError(f"{source.name}: {kept[0]}: drop or cast it") from None
        if _PARQUET_ERROR.search(text):
            _check_parquet(source, wholly=True)
        condition = _CONDITION.search(text)
        if always and condition:
            said = re.sub(r" SQLSTATE: \w+.*", "", condition["text"])
            if condition["name"] == "COLUMN_ALREADY_EXISTS":
                said += " (names that differ only in case are one name)"
            raise InputError(f"{source.name} cannot be read: {said}") from None
        raise


# -- detection ------------------------------------------------------------------------------------------------------------------------


def _matches(pattern: Path) -> list[str]:
    """The matches of a glob, without names that begin with _ or . where the glob has a wildcard."""
    plain = next((at for at, part in enumerate(pattern.parts) if glob.has_magic(part)), len(pattern.parts))
    found = sorted(glob.glob(str(pattern), recursive=True))
    return [path for path in found if not any(part.startswith(("_", ".")) for part in Path(path).parts[plain:])]


def _file(name: str, path: Path) -> Source:
    if path.name.startswith(("_", ".")):
        raise InputError(f"{name}: the engine passes over files whose names begin with _ or .: rename it")
    kind = kind_of(path)
    if kind is None:
        raise InputError(f"{name} is none of {_KINDS}")
    return Source(name, kind, (str(path),))


def _folder(name: str, folder: Path) -> Source:
    if (folder / "_delta_log").is_dir():
        return Source(name, "delta", (str(folder),))
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.name == "_delta_log" and path.is_dir():
            raise InputError(f"{name} is a folder with a Delta table in it: name the table, {path.parent}")
        if path.is_file() and not any(part.startswith(("_", ".")) for part in inside.parts) and (kind := kind_by_name(path.name)):
            found.setdefault(kind, []).append(str(path))
    if not found:
        raise InputError(f"the folder {name} holds no file that is one of {_KINDS}")
    if len(found) > 1:
        first = ", ".join(f"{len(files):,} of {kind}" for kind, files in found.items())
        raise InputError(f"the folder {name} holds files of several kinds ({first}): name one kind, as in '{name}/*.parquet'")
    [(format_, files)] = found.items()
    return Source(name, format_, tuple(files), str(folder))
