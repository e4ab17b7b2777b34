"""Small corpora laid out on disk, as the real ones are."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from personahub.config import DocumentFilters, Documents
from personahub.documents import generic, read_file, redpajama_v2
from personahub.documents.files import Place

NO_FILTERS = DocumentFilters(min_characters=None, max_characters=None, max_symbol_ratio=None, max_repeated_line_ratio=None)


def settings(path, **keys) -> Documents:
    return Documents(path=str(path), **{"filters": NO_FILTERS, **keys})


def gz(path: Path, records: list) -> Path:
    """Records, or lines as they are, one a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (record if isinstance(record, str) else json.dumps(record) for record in records)
    path.write_bytes(gzip.compress("".join(line + "\n" for line in lines).encode()))
    return path


def redpajama(root: Path, name: str, texts: list, *, signals: bool | list = True, duplicates: list[int] = ()) -> Path:
    """One file of a tree: its documents (a str is a text, anything else the record), signals and duplicates."""
    language = name.rpartition("/")[2].partition("_")[0]
    records = [
        {"raw_content": text, "url": f"http://{line}.org", "language": language} if isinstance(text, str) else text
        for line, text in enumerate(texts)
    ]
    file = gz(root / "documents" / f"{name}.json.gz", records)
    if signals:
        rows = [signal(f"{name}.json.gz/{line}", float(line)) for line in range(len(texts))] if signals is True else signals
        gz(root / "quality_signals" / f"{name}.signals.json.gz", rows)
    if duplicates:
        ids = [f"{name}.json.gz/{line}" for line in duplicates]
        table = pa.table({"shard_id": ids, "doc_id": ids, "digest": ids})
        (root / "duplicates" / name).parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(table, root / "duplicates" / f"{name}.duplicates.parquet")
    return file


def signal(document_id: str, score: float) -> dict:
    spans = {
        "rps_doc_word_count": [[0, 9, score]],
        "rps_doc_unknown": [[0, 9, None]],
        "rps_lines_num_words": [[0, 4, 1.0], [4, 9, 2.0]],
    }
    return {"id": document_id, "quality_signals": spans}


def rows(documents: Documents) -> list:
    """All rows that the chosen files give, without Spark."""
    corpus = redpajama_v2 if documents.format == "redpajama_v2" else generic
    place = Place(documents.path)
    return [row for index, file in enumerate(corpus.choose(documents)) for row in read_file(place, file, index, documents)]


def texts(found: list) -> list:
    return [row.text for row in found if row.reason is None]


def rejects(found: list) -> list[tuple[str, str]]:
    return [(row.source_id, row.reason) for row in found if row.reason is not None]
