"""What one line of a corpus becomes: a row, a document or a reject, and Arrow batches of rows. No engine is needed."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa
from pyspark.sql import types as T

from personahub import filters, ids
from personahub.config import Documents
from personahub.rows import arrow_schema
from personahub.schemas import DOCUMENTS, RAW_CHARACTERS

STAGE = "documents"
_BATCH_ROWS, _BATCH_CHARACTERS = 512, 4_000_000

READ = T.StructType(
    [
        *DOCUMENTS.fields,
        T.StructField("file_index", T.IntegerType()),
        T.StructField("line", T.LongType()),
        *(T.StructField(name, T.StringType()) for name in ("source_id", "reason", "detail", "raw", "reject_id")),
    ]
)
_ARROW = arrow_schema(READ)


class Row(NamedTuple):
    """A document (reason is None) or a reject (reason is set, the columns of the document are None)."""

    document_id: str | None
    source: str | None
    url: str | None
    language: str | None
    text: str | None
    quality: dict[str, float] | None
    file_index: int
    line: int
    source_id: str | None = None
    reason: str | None = None
    detail: str | None = None
    raw: str | None = None
    reject_id: str | None = None


def reject(file_index: int, line: int, source_id: str, reason: str, detail: str, raw: str | None = None) -> Row:
    """A refused document, or (source_id: the file's id) something wrong with a file. `raw` is cut to 2,000 characters."""
    name = ids.reject_id(STAGE, source_id, None, reason)
    raw = None if raw is None else raw[:RAW_CHARACTERS]
    return Row(None, None, None, None, None, None, file_index, line, source_id, reason, detail, raw, name)


def judge(
    settings: Documents,
    file_index: int,
    line: int,
    document_id: str,
    text: Any,
    quality: dict[str, float],
    url: Any,
    language: Any,
) -> Row:
    """The document, or the reject that it is for want of text (no_text) or by settings.filters."""
    if not isinstance(text, str) or not text or text.isspace():
        detail = "the text is empty" if isinstance(text, str) else f"the text is {_kind(text)}"
        return reject(file_index, line, document_id, "no_text", detail, text if isinstance(text, str) else None)
    verdict = filters.document_reason(text, quality, settings.filters, settings.format == "redpajama_v2")
    if verdict is not None:
        return reject(file_index, line, document_id, *verdict, text)
    url, language = url if isinstance(url, str) else None, language if isinstance(language, str) else None
    return Row(document_id, settings.format, url, language, text, quality, file_index, line)


def first(rows: Iterable[Row], documents: int | None) -> Iterator[Row]:
    """Up to and with the N-th document; None: all rows. Rejects after it are not reported."""
    if documents is None:
        yield from rows
        return
    left = documents
    if left <= 0:
        return
    for row in rows:
        yield row
        if row.reason is None:
            left -= 1
            if left == 0:
                return


def batches(rows: Iterable[Row]) -> Iterator[pa.RecordBatch]:
    """Rows as Arrow batches of READ, of at most 512 rows or about 4 million characters."""
    pending: list[Row] = []
    characters = 0
    for row in rows:
        pending.append(row)
        characters += len(row.text or row.raw or "")
        if len(pending) >= _BATCH_ROWS or characters >= _BATCH_CHARACTERS:
            yield _batch(pending)
            pending, characters = [], 0
    if pending:
        yield _batch(pending)


def _batch(rows: list[Row]) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True))
    arrays = [
        _quality(columns[position]) if field.name == "quality" else pa.array(columns[position], field.type)
        for position, field in enumerate(_ARROW)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=_ARROW)


def _quality(maps: tuple[dict[str, float] | None, ...]) -> pa.Array:
    """Flat, since a list of pairs per row costs more than parsing the JSON did. A null offset is a null map."""
    offsets: list[int | None] = []
    keys: list[str] = []
    scores: list[float] = []
    for quality in maps:
        if quality is None:
            offsets.append(None)
            continue
        offsets.append(len(keys))
        keys.extend(quality)
        scores.extend(quality.values())
    offsets.append(len(keys))
    return pa.MapArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(keys, pa.string()), pa.array(scores, pa.float64()))


def _kind(value: Any) -> str:
    return "null or missing" if value is None else f"of type {type(value).__name__}"
