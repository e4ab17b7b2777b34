"""Corpora of one record a line or row: jsonl (plain, .gz, .bz2, .xz, .zst), parquet and Delta, with columns named by preset or by the user.

A document's id is the value of the id column. Where that is missing it is `<file>/<0-based line>`, the file's name being relative
to documents.path (to the folder before the first wildcard of a glob); a Delta row without one gets the BLAKE2b-128 of its text.
Ids that repeat are given as they are: the stage refuses those of another text (known_ids.py).
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import parquet

from personahub import ids
from personahub.config import Documents
from personahub.documents.files import DAMAGE, JSONL, PARQUET, Place, lines, select
from personahub.documents.json_lines import parse
from personahub.documents.rows import Row, judge, reject
from personahub.errors import InputError
from personahub.text import language_code

_PROBE = 1000  # so many records without the text column, and the file is taken to have none


class Columns(NamedTuple):
    """The columns that a record is read from; a column that is not there is null."""

    text: str = "text"
    id: str | None = "id"
    url: str | None = "url"
    language: str | None = "language"
    quality: tuple[str, ...] = ()  # numbers of the corpus's own about the whole document


PRESETS: dict[str, Columns] = {
    "jsonl": Columns(),
    "parquet": Columns(),
    "delta": Columns(),
    "c4": Columns(id=None, language=None),
    "fineweb": Columns(quality=("language_score", "token_count", "score", "int_score")),
    "dolma": Columns(),
}


class File(NamedTuple):
    """A path, and the file's id: its name relative to documents.path. known: its ending is one of the format's."""

    path: str
    id: str
    known: bool = True


def columns(settings: Documents) -> Columns:
    """The preset of settings.format, with text_column and id_column on top."""
    preset = PRESETS[settings.format]
    return preset._replace(text=settings.text_column or preset.text, id=settings.id_column or preset.id)


def choose(settings: Documents) -> list[File]:
    """The files that settings.path selects, sorted by name. Names that begin with _ or . are passed over (_SUCCESS, .crc).

    Raises InputError if none of them has an ending of the format.
    """
    folder, found = select(settings.path or "")
    endings = PARQUET if _is_parquet(settings) else JSONL
    one = len(found) == 1 and found[0].rpartition("/")[2] == (settings.path or "").rstrip("/").rpartition("/")[2]
    names = [path.removeprefix(folder + "/") for path in found]
    files = [
        File(path, name, one or name.lower().endswith(endings))
        for path, name in zip(found, names, strict=True)
        if one or not _hidden(name)
    ]
    if not any(file.known for file in files):
        raise InputError(
            f"documents.path {settings.path!r} selects no file that ends in {', '.join(endings)}: correct documents.path, or set "
            f"documents.format, now {settings.format}, to what lies there"
        )
    return files


def read_file(place: Place, file: File, file_index: int, settings: Documents) -> Iterator[Row]:
    """The rows of one file, streamed, in the order of its lines.

    A document of a language that is not in settings.languages is skipped, no reject; without a language nothing is. A reject of
    a document: bad_json, bad_utf8, no_text, a filter's reason. A reject of the file (source_id = its id): missing_column (no text column:
    at once for parquet, after 1,000 records for jsonl), missing_file, corrupt_file (what stands before the damage is kept), wrong_language
    (no document, since all are of other languages), unknown_ending (it is not read).
    """
    if not file.known:
        yield reject(
            file_index, 0, file.id, "unknown_ending", f"no file of documents.format {settings.format} by its name: not read"
        )
        return
    reader = _parquet_rows if _is_parquet(settings) else _json_rows
    reached, kept, skipped = 0, False, Counter[str]()
    try:
        for row in reader(place, file, file_index, settings, skipped):
            reached, kept = row.line + 1, kept or row.reason is None
            yield row
        if skipped and not kept:
            there = ", ".join(f"{name} {count:,}" for name, count in skipped.most_common(12))
            detail = f"no document: documents.languages is {list(settings.languages)}, yet there are {there}"
            yield reject(file_index, reached, file.id, "wrong_language", detail)
    except FileNotFoundError:
        yield reject(file_index, 0, file.id, "missing_file", f"{file.path} does not exist")
    except DAMAGE as error:
        yield reject(file_index, reached, file.id, "corrupt_file", f"damaged after line {reached}: {error}")


def record_row(
    record: Mapping[str, Any],
    names: Columns,
    wanted: frozenset[str],
    settings: Documents,
    file_index: int,
    line: int,
    fallback_id: str | None,
    skipped: Counter[str],
    problem: str | None = None,
) -> Row | None:
    """One record as a row; None: of a language that is not wanted, counted in `skipped`. fallback_id None: a hash of the text.

    problem: what `records` says is wrong with its bytes.
    """
    get = record.get
    language = get(names.language) if names.language else None
    if wanted and isinstance(language, str) and language_code(language) not in wanted:
        skipped[language] += 1
        return None
    text = get(names.text)
    given = get(names.id) if names.id else None
    document_id = str(given) if given not in (None, "") else fallback_id
    if document_id is None:
        document_id = ids.content_id(text if isinstance(text, str) else "")
    if problem is not None:
        return reject(file_index, line, document_id, "bad_utf8", problem, text if isinstance(text, str) else None)
    quality = {name: float(value) for name in names.quality if isinstance(value := get(name), int | float)}
    return judge(settings, file_index, line, document_id, text, quality, get(names.url) if names.url else None, language)


def _json_rows(place: Place, file: File, file_index: int, settings: Documents, skipped: Counter[str]) -> Iterator[Row]:
    names, wanted = columns(settings), frozenset(settings.languages)
    held: list[Row] | None = []  # rows without the text column, until a record has it
    seen: dict[str, None] = {}
    for number, line in enumerate(lines(place, file.path)):
        if not line or line.isspace():
            continue
        source_id = f"{file.id}/{number}"
        try:
            record = parse(line)
        except ValueError as error:
            yield reject(file_index, number, source_id, "bad_json", str(error), line[:8000].decode("utf-8", "replace"))
            continue
        row = record_row(record, names, wanted, settings, file_index, number, source_id, skipped)
        if held is not None and names.text in record:
            yield from held
            held = None
        if row is None:
            continue
        if held is None:
            yield row
            continue
        held.append(row)
        seen.update(dict.fromkeys(record))
        if len(held) == _PROBE:
            break
    if held:
        yield _missing_column(file, file_index, names.text, seen)


def _parquet_rows(place: Place, file: File, file_index: int, settings: Documents, skipped: Counter[str]) -> Iterator[Row]:
    names, wanted = columns(settings), frozenset(settings.languages)
    with place.open_parquet(file.path) as stream:
        source = parquet.ParquetFile(stream)
        have = source.schema_arrow.names
        if names.text not in have:
            yield _missing_column(file, file_index, names.text, have)
            return
        read = [name for name in (names.text, names.id, names.url, names.language, *names.quality) if name in have]
        number = 0
        for batch in source.iter_batches(batch_size=512, columns=list(dict.fromkeys(read))):
            for record, problem in records(batch):
                source_id = f"{file.id}/{number}"
                if row := record_row(record, names, wanted, settings, file_index, number, source_id, skipped, problem):
                    yield row
                number += 1


def records(batch: pa.RecordBatch) -> Iterator[tuple[dict[str, Any], str | None]]:
    """The rows of a batch, and what is wrong with one: a string that is no UTF-8, as writers that do not check leave it."""
    try:
        yield from ((record, None) for record in batch.to_pylist())
        return
    except UnicodeDecodeError:
        pass
    columns: dict[str, list[Any]] = {}
    problems: dict[int, str] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            columns[name] = column.to_pylist()
            continue
        columns[name] = column.cast(pa.large_binary()).to_pylist()
        for row, value in enumerate(columns[name]):
            if value is not None:
                columns[name][row] = value.decode("utf-8", "replace")
                if columns[name][row].encode() != value:
                    problems[row] = f"the column {name!r} is no UTF-8"
    for row, values in enumerate(zip(*columns.values(), strict=True)):
        yield dict(zip(columns, values, strict=True)), problems.get(row)


def _missing_column(file: File, file_index: int, name: str, have: Any) -> Row:
    detail = f"no column {name!r}; the file has: {', '.join(list(have)[:30])}; set documents.text_column (of an import: --column)"
    return reject(file_index, 0, file.id, "missing_column", detail)


def _is_parquet(settings: Documents) -> bool:
    return settings.format in ("parquet", "fineweb")


def _hidden(name: str) -> bool:
    return any(part.startswith(("_", ".")) for part in name.split("/"))
