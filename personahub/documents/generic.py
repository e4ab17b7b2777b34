"""Corpora of one record a line or row: jsonl (plain, .gz, .zst), parquet and Delta, with columns named by preset or by the user.

A document's id is the value of the id column. Where that is missing it is `<file>/<0-based line>`, the file's name being relative
to documents.path (to the folder before the first wildcard of a glob); a Delta row without one gets the BLAKE2b-128 of its text.
Ids that repeat are given as they are: the store keeps the first.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import orjson
from pyarrow import parquet

from personahub import ids
from personahub.config import Documents
from personahub.documents.files import DAMAGE, Place, lines, select
from personahub.documents.rows import Row, judge, reject
from personahub.errors import InputError

_JSONL = (".jsonl", ".json", ".jsonl.gz", ".json.gz", ".jsonl.zst", ".json.zst", ".ndjson", ".ndjson.gz", ".ndjson.zst")
_PARQUET = (".parquet", ".parq", ".pq")
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
    """A path, and the file's id: its name relative to documents.path."""

    path: str
    id: str


def columns(settings: Documents) -> Columns:
    """The preset of settings.format, with text_column and id_column on top."""
    preset = PRESETS[settings.format]
    return preset._replace(text=settings.text_column or preset.text, id=settings.id_column or preset.id)


def choose(settings: Documents) -> list[File]:
    """The files that settings.path selects, sorted by name. Names that begin with _ or . are passed over (_SUCCESS, .crc).

    Raises InputError if there are none.
    """
    folder, found = select(settings.path or "")
    endings = _PARQUET if _is_parquet(settings) else _JSONL
    one = len(found) == 1 and found[0].rpartition("/")[2] == (settings.path or "").rstrip("/").rpartition("/")[2]
    files = [
        File(path, path.removeprefix(folder + "/"))
        for path in found
        if one or (path.endswith(endings) and not _hidden(path.removeprefix(folder + "/")))
    ]
    if not files:
        raise InputError(
            f"documents.path {settings.path!r} selects no file that ends in {', '.join(endings)}: correct documents.path, or set "
            f"documents.format, now {settings.format}, to what lies there"
        )
    return files


def read_file(place: Place, file: File, file_index: int, settings: Documents) -> Iterator[Row]:
    """The rows of one file, streamed, in the order of its lines.

    A document of a language that is not in settings.languages is skipped, no reject; without a language nothing is. A reject of
    a document: bad_json, no_text, a filter's reason. A reject of the file (source_id = its id): missing_column (no text column: at
    once for parquet, after 1,000 records for jsonl), missing_file, corrupt_file (what stands before the damage is kept).
    """
    reader = _parquet_rows if _is_parquet(settings) else _json_rows
    reached = 0
    try:
        for row in reader(place, file, file_index, settings):
            reached = row.line + 1
            yield row
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
) -> Row | None:
    """One record as a row; None: of a language that is not wanted. fallback_id None: a hash of the text."""
    get = record.get
    language = get(names.language) if names.language else None
    if wanted and isinstance(language, str) and language.casefold() not in wanted:
        return None
    text = get(names.text)
    given = get(names.id) if names.id else None
    document_id = str(given) if given not in (None, "") else fallback_id
    if document_id is None:
        document_id = ids.content_id(text if isinstance(text, str) else "")
    quality = {name: float(value) for name in names.quality if isinstance(value := get(name), int | float)}
    return judge(settings, file_index, line, document_id, text, quality, get(names.url) if names.url else None, language)


def wanted_languages(settings: Documents) -> frozenset[str]:
    """Compared without regard to case; empty: all."""
    return frozenset(language.casefold() for language in settings.languages)


def _json_rows(place: Place, file: File, file_index: int, settings: Documents) -> Iterator[Row]:
    names, wanted = columns(settings), wanted_languages(settings)
    held: list[Row] | None = []  # rows without the text column, until a record has it
    seen: dict[str, None] = {}
    for number, line in enumerate(lines(place, file.path)):
        if not line or line.isspace():
            continue
        source_id = f"{file.id}/{number}"
        try:
            record = orjson.loads(line)
            problem = None if isinstance(record, dict) else "not a JSON object"
        except orjson.JSONDecodeError as error:
            problem = str(error)
        if problem is not None:
            yield reject(file_index, number, source_id, "bad_json", problem, line[:8000].decode("utf-8", "replace"))
            continue
        row = record_row(record, names, wanted, settings, file_index, number, source_id)
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


def _parquet_rows(place: Place, file: File, file_index: int, settings: Documents) -> Iterator[Row]:
    names, wanted = columns(settings), wanted_languages(settings)
    with place.open_parquet(file.path) as stream:
        source = parquet.ParquetFile(stream)
        have = source.schema_arrow.names
        if names.text not in have:
            yield _missing_column(file, file_index, names.text, have)
            return
        read = [name for name in (names.text, names.id, names.url, names.language, *names.quality) if name in have]
        number = 0
        for batch in source.iter_batches(batch_size=512, columns=list(dict.fromkeys(read))):
            for record in batch.to_pylist():
                row = record_row(record, names, wanted, settings, file_index, number, f"{file.id}/{number}")
                if row is not None:
                    yield row
                number += 1


def _missing_column(file: File, file_index: int, name: str, have: Any) -> Row:
    detail = f"no column {name!r}; the file has: {', '.join(list(have)[:30])}; set documents.text_column"
    return reject(file_index, 0, file.id, "missing_column", detail)


def _is_parquet(settings: Documents) -> bool:
    return settings.format in ("parquet", "fineweb")


def _hidden(name: str) -> bool:
    return any(part.startswith(("_", ".")) for part in name.split("/"))
