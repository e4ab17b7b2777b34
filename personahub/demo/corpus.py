"""Forty short texts of our own as a RedPajama-V2 tree, with what a real one has, too: a duplicate, a stub and a damaged line."""

import base64
import gzip
import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import parquet

SNAPSHOT = "2023-06"
FILES = ("0000/en_head", "0000/en_middle", "0001/en_head", "0001/en_middle")  # ten texts each
DAMAGED = (
    '{"url": "https://cut.example.org/half-a-page", "title": "Half a page", "raw_content": "This line was cut off when the disk'
)
STUB = {"url": "https://old.example.com/moved", "title": "Moved", "text": "This page has moved. Please update your bookmarks."}

_MEAN_PERPLEXITY = {"head": 220.0, "middle": 480.0}
_BUCKETS = {"head": 0.0, "middle": 1.0, "tail": 2.0}


def texts() -> list[dict[str, str]]:
    """The forty texts: url, title, text."""
    lines = resources.files(__package__).joinpath("texts.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def topics(folder: str | Path) -> Path:
    """Copies a list of topics into `folder`, and returns its path."""
    file = Path(folder, "topics.txt")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(resources.files(__package__).joinpath(file.name).read_bytes())
    return file


def lay_out(folder: str | Path) -> Path:
    """Writes the tree below `folder`, the same bytes each time, and returns the path for `documents.path`.

    43 lines in four files: the forty texts; the first of them once more, named in the duplicates file; a stub shorter than
    documents.filters.min_characters; half a line of JSON.
    """
    folder = Path(folder)
    pages = texts()
    size = len(pages) // len(FILES)
    files = {name: list(pages[number * size : (number + 1) * size]) for number, name in enumerate(FILES)}
    files["0000/en_middle"].insert(3, {"damaged": DAMAGED})
    files["0001/en_head"].append(STUB)
    files["0001/en_middle"].append(pages[0])
    for name, entries in files.items():
        file_id = f"{SNAPSHOT}/{name}.json.gz"
        documents = [entry.get("damaged") or _json(_document(entry, name)) for entry in entries]
        signals = [_json(_signals(entry, name, f"{file_id}/{line}")) for line, entry in enumerate(entries)]
        _write_lines(folder / "documents" / file_id, documents)
        _write_lines(folder / "quality_signals" / SNAPSHOT / f"{name}.signals.json.gz", signals)
    _write_duplicates(folder, "0001/en_middle", line=len(files["0001/en_middle"]) - 1, text=pages[0]["text"])
    return folder


def _document(page: dict[str, str], name: str) -> dict[str, Any]:
    text, language, bucket = page["text"], *_language_and_bucket(name)
    lines = text.count("\n") + 1
    return {
        "url": page["url"],
        "date_download": "2023-02-03T12:00:00Z",
        "digest": _digest(text),
        "length": len(text),
        "nlines": lines,
        "source_domain": urlsplit(page["url"]).hostname,
        "title": page["title"],
        "raw_content": text,
        "cc_segment": _segment(name),
        "original_nlines": lines,
        "original_length": len(text),
        "line_ids": list(range(lines)),
        "language": language,
        "language_score": 0.97,
        "perplexity": _MEAN_PERPLEXITY[bucket],
        "bucket": bucket,
    }


def _signals(page: dict[str, str], name: str, document_id: str) -> dict[str, Any]:
    """A few of the real signals, computed from the text, in the real shape: spans of characters with a score."""
    text, language, bucket = page.get("text", ""), *_language_and_bucket(name)
    words = text.split()
    scores = {
        "ccnet_length": len(text),
        "ccnet_nlines": text.count("\n") + 1,
        "ccnet_language_score": 0.97,
        "ccnet_perplexity": _MEAN_PERPLEXITY[bucket],
        "ccnet_bucket": _BUCKETS[bucket],
        "rps_doc_word_count": len(words),
        "rps_doc_mean_word_length": sum(map(len, words)) / max(1, len(words)),
        "rps_doc_frac_unique_words": len(set(words)) / max(1, len(words)),
    }
    url = page.get("url", "")
    return {
        "id": document_id,
        "id_int": int.from_bytes(hashlib.sha1(document_id.encode()).digest()[:8], "little"),
        "metadata": {
            "cc_segment": _segment(name),
            "cc_net_source": f"{SNAPSHOT}/{name}.json.gz",
            "url": url,
            "source_domain": urlsplit(url).hostname or "",
            "language": language,
            "snapshot_id": SNAPSHOT,
        },
        "quality_signals": {signal: [[0, len(text), float(score)]] for signal, score in scores.items()},
    }


def _write_duplicates(folder: Path, name: str, line: int, text: str) -> None:
    file_id = f"{SNAPSHOT}/{name}.json.gz"
    path = folder / "duplicates" / SNAPSHOT / f"{name}.duplicates.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = {"shard_id": [file_id], "doc_id": [f"{file_id}/{line}"], "digest": [_digest(text)]}
    parquet.write_table(pa.table(rows), path)


def _write_lines(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # no time in the header: the same texts are the same bytes
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))


def _language_and_bucket(name: str) -> tuple[str, str]:
    language, bucket = name.rpartition("/")[2].split("_")
    return language, bucket


def _segment(name: str) -> str:
    return f"crawl-data/CC-MAIN-{SNAPSHOT}/segments/demo/{name.replace('/', '-')}.warc.wet.gz"


def _digest(text: str) -> str:
    return "sha1:" + base64.b32encode(hashlib.sha1(text.encode()).digest()).decode()


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)
