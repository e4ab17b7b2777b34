"""RedPajama-Data-V2 as it lies on disk: documents/, quality_signals/ and duplicates/ under one root, paired line by line.

documents/<snapshot>/<shard>/<lang>_<bucket>.json.gz                 one JSON object a line, without an id
quality_signals/<snapshot>/<shard>/<lang>_<bucket>.signals.json.gz   line i belongs to line i; none for tail
duplicates/<snapshot>/<shard>/<lang>_<bucket>.duplicates.parquet     document ids that repeat another document; none for tail
listings/<name>.txt                                                  lines such as 2023-06/0000/en_head
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson
import pyarrow as pa
from pyarrow import parquet

from personahub.config import Documents
from personahub.documents.files import DAMAGE, Place, lines, select
from personahub.documents.json_lines import parse
from personahub.documents.rows import Row, judge, reject
from personahub.errors import InputError

_NAME = re.compile(r"[^/]+/[^/]+/([a-z]{2,3})_(head|middle|tail)")
_SUFFIX = ".json.gz"
_LAYOUT = "documents/<snapshot>/<shard>/<lang>_<bucket>.json.gz"


class File(NamedTuple):
    """One documents file: the root that holds documents/, and <snapshot>/<shard>/<lang>_<bucket>."""

    root: str
    name: str

    @property
    def id(self) -> str:
        return self.name + _SUFFIX

    @property
    def tail(self) -> bool:
        return self.name.endswith("_tail")

    def path(self, component: str, suffix: str) -> str:
        return f"{self.root}/{component}/{self.name}{suffix}".removeprefix("/" if not self.root else "")


def choose(settings: Documents) -> list[File]:
    """The files that settings.path, languages and buckets select. A listing keeps its order, all else is sorted by name.

    Raises InputError if nothing is there, or nothing of it is selected.
    """
    path = settings.path or ""
    found = _listed(path) if path.endswith(".txt") else _found(path)
    chosen = [file for file in found if _wanted(file, settings)]
    if not found:
        raise InputError(
            f"documents.path {path!r} holds no files laid out as {_LAYOUT}: set documents.path to the folder that holds documents/, a "
            "glob over such files or a listing; for other corpora set documents.format, too"
        )
    if not chosen:
        have = ", ".join(sorted({file.name.rpartition("/")[2] for file in found})[:12])
        raise InputError(
            f"none of the {len(found)} files under documents.path {path!r} has a language in documents.languages "
            f"{list(settings.languages)} and a bucket in documents.buckets {list(settings.buckets)}; there are: {have}"
        )
    return chosen


def _wanted(file: File, settings: Documents) -> bool:
    language, bucket = _NAME.fullmatch(file.name).groups()  # type: ignore[union-attr]
    return (not settings.languages or language in settings.languages) and (not settings.buckets or bucket in settings.buckets)


def _found(path: str) -> list[File]:
    place = Place(path)
    inside = f"{path.rstrip('/')}/documents"
    if place.kind(place.inner) == "directory" and place.kind(f"{place.inner.rstrip('/')}/documents") == "directory":
        path = inside  # do not list the other components
    laid_out = re.compile(rf"(?:(.*)/)?documents/({_NAME.pattern}){re.escape(_SUFFIX)}")
    matches = (laid_out.fullmatch(file) for file in select(path)[1])
    return sorted({File(match[1] or "", match[2]) for match in matches if match}, key=lambda file: (file.name, file.root))


def _listed(path: str) -> list[File]:
    place = Place(path)
    if place.kind(place.inner) != "file":
        raise InputError(f"the listing documents.path {path!r} does not exist")
    with place.open(place.inner) as stream:
        entries = stream.read().decode("utf-8", "replace").split("\n")
    folder = place.inner.rpartition("/")[0]
    roots = (folder, folder.rpartition("/")[0])
    root = next((root for root in roots if place.kind(f"{root}/documents") == "directory"), None)
    if root is None:
        raise InputError(f"no folder documents/ beside the listing {path!r} or above it: put the listing into <root>/listings/")
    found = []
    for number, entry in enumerate(entries, start=1):
        name = entry.strip().removesuffix(_SUFFIX)
        if not name or name.startswith("#"):
            continue
        if not _NAME.fullmatch(name):
            raise InputError(f"line {number} of the listing {path!r} is {entry!r}, not <snapshot>/<shard>/<lang>_<bucket>")
        found.append(File(root, name))
    return list(dict.fromkeys(found))


def read_file(place: Place, file: File, file_index: int, settings: Documents) -> Iterator[Row]:
    """The rows of one file, streamed, in the order of its lines; document_id = <file's id>/<0-based line>.

    A reject of a document: bad_json, no_text, duplicate (named in the duplicates file), a filter's reason. A reject of the file
    (source_id = its id): missing_file; corrupt_file (what stands before the damage is kept); missing_signals, corrupt_signals,
    signals_mismatch (documents are kept, without signals from there on); corrupt_duplicates. Blank lines are counted and skipped.
    """
    duplicates, problem = _duplicates(place, file)
    if problem is not None:
        yield reject(file_index, 0, file.id, "corrupt_duplicates", problem)
    signals = _Signals(place, file)
    number = -1
    try:
        for number, line in enumerate(lines(place, file.path("documents", _SUFFIX))):
            document_id = f"{file.id}/{number}"
            quality = signals.next(document_id)
            if signals.problem is not None:
                yield reject(file_index, number, file.id, *signals.problem)
                signals.problem = None
            if document_id in duplicates:
                yield reject(file_index, number, document_id, "duplicate", "named in the corpus's duplicates file")
            elif line and not line.isspace():
                yield _row(settings, file_index, number, document_id, line, quality)
    except FileNotFoundError:
        yield reject(file_index, 0, file.id, "missing_file", f"{file.path('documents', _SUFFIX)} does not exist")
    except DAMAGE as error:
        yield reject(file_index, number + 1, file.id, "corrupt_file", f"damaged after {number + 1} whole lines: {error}")


def _row(settings: Documents, file_index: int, number: int, document_id: str, line: bytes, quality: dict[str, float]) -> Row:
    try:
        document = parse(line)
    except ValueError as error:
        return reject(file_index, number, document_id, "bad_json", str(error), line[:8000].decode("utf-8", "replace"))
    get = document.get
    text = get(settings.text_column or "raw_content")
    return judge(settings, file_index, number, document_id, text, quality, get("url"), get("language"))


class _Signals:
    """The signals file, a line at a time. Once something is wrong with it there are no more signals, and `problem` says why."""

    def __init__(self, place: Place, file: File) -> None:
        self.problem: tuple[str, str] | None = None
        self._lines = None if file.tail else lines(place, file.path("quality_signals", ".signals.json.gz"))

    def next(self, document_id: str) -> dict[str, float]:
        """The document's scores by name, {} where there are none."""
        if self._lines is None:
            return {}
        try:
            record = orjson.loads(next(self._lines))
            if record.get("id", document_id) == document_id:
                return _scores(record["quality_signals"])
            self.problem = "signals_mismatch", f"the signals of {document_id} are those of {record['id']}"
        except StopIteration:
            self.problem = "signals_mismatch", f"the signals end before {document_id}"
        except FileNotFoundError:
            self.problem = "missing_signals", "the quality_signals file does not exist"
        except (ValueError, AttributeError, KeyError, TypeError, IndexError) as error:
            self.problem = "signals_mismatch", f"the signals of {document_id} cannot be read: {type(error).__name__}: {error}"
        except DAMAGE as error:
            self.problem = "corrupt_signals", f"damaged at {document_id}: {error}"
        self._lines = None
        return {}


def _scores(signals: dict[str, Any]) -> dict[str, float]:
    """The first span's score of each signal of the whole document (rps_doc_*, ccnet_*); no null scores, no rps_lines_*."""
    return {
        name: float(spans[0][2])
        for name, spans in signals.items()
        if name[:9] != "rps_lines" and spans and spans[0][2] is not None
    }


def _duplicates(place: Place, file: File) -> tuple[frozenset[str], str | None]:
    """The ids of the file's duplicates, and what is wrong with the duplicates file. A missing file names none."""
    if file.tail:
        return frozenset(), None
    try:
        with place.open_parquet(file.path("duplicates", ".duplicates.parquet")) as stream:
            return frozenset(parquet.read_table(stream, columns=["doc_id"])["doc_id"].to_pylist()), None
    except FileNotFoundError:
        return frozenset(), None
    except (*DAMAGE, KeyError, pa.ArrowException) as error:
        return frozenset(), f"the duplicates file cannot be read, so none is honoured: {error}"
