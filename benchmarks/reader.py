"""Reading RedPajama-V2: `documents.read` into the noop sink against one process that loops over the lines with gzip and orjson.

    python benchmarks/reader.py [--files 8] [--megabytes 30] [--cores 2] [--rounds 3]

MB/s/core: 10^6 bytes of uncompressed JSON lines per CPU second, the driver's, the engine's and the workers' together. Both sides read
documents/ and quality_signals/, and the bytes of both are counted. The engine runs already and has read a tree of one document a file.
The filters are off, then on (the defaults). Loop and reader take turns in each round, so that both feel what else the machine does;
the figures are those of the middle round. The text is generated: words by Zipf's law, pages as long as those of the web.
"""

import argparse
import gzip
import itertools
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from common import machine, on_spark
from measure import KINDS, processes
from pyarrow import parquet
from pyspark.sql import DataFrame, SparkSession

from personahub import documents, engines
from personahub.config import load

FILTERS_OFF = "{min_characters: null, max_characters: null, max_symbol_ratio: null, max_repeated_line_ratio: null}"
# the real signals: each has one span for the document, or one for each of its lines
_CCNET = "bucket language_score length nlines original_length original_nlines perplexity"
_DOCUMENT = """books_importance books_importance_length_correction curly_bracket frac_all_caps_words frac_chars_dupe_10grams
    frac_chars_dupe_5grams frac_chars_dupe_6grams frac_chars_dupe_7grams frac_chars_dupe_8grams frac_chars_dupe_9grams
    frac_chars_top_2gram frac_chars_top_3gram frac_chars_top_4gram frac_lines_end_with_ellipsis frac_no_alph_words
    frac_unique_words ldnoobw_words lorem_ipsum mean_word_length ml_palm_score ml_wikipedia_score ml_wikiref_score num_sentences
    openwebtext_importance openwebtext_importance_length_correction stop_word_fraction symbol_to_word_ratio unigram_entropy
    ut1_blacklist wikipedia_importance wikipedia_importance_length_correction word_count"""
_LINES = """ending_with_terminal_punctution_mark javascript_counts num_words numerical_chars_fraction start_with_bulletpoint
    uppercase_letter_fraction"""
OF_DOCUMENTS = [f"ccnet_{name}" for name in _CCNET.split()] + [f"rps_doc_{name}" for name in _DOCUMENT.split()]
_DIGEST = "sha1:DNJVF5QUTTJGEF56WA5VCYUVVD3OW7XL"
OF_LINES = [f"rps_lines_{name}" for name in _LINES.split()]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--megabytes", type=float, default=30.0, help="of documents, a file")
    parser.add_argument(
        "--cores", type=int, default=2, help="files that Spark reads at a time; the embedded engine takes the cores that it finds"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(f"{given.files} files of {given.megabytes:g} MB of documents, seed {given.seed}; {machine()}")
    with tempfile.TemporaryDirectory() as folder:
        tiny, tree = Path(folder) / "tiny", Path(folder) / "tree"
        lay_out(tiny, given.files, 0.0, given.seed)
        count = lay_out(tree, given.files, given.megabytes, given.seed)
        stored, size = sum(file.stat().st_size for file in tree.rglob("*.gz")), _loop(tree)
        print(f"{count} documents; with their signals {size / 1e6:.0f} MB of JSON lines, {stored / 1e6:.0f} MB compressed")
        spark = engines.open_session(load(overrides=[f"spark.master=local[{given.cores}]"] if on_spark() else []))
        if (rows := _rows(spark, tree).count()) != count:
            raise RuntimeError(f"{count} lines became {rows} rows")  # each is a document or a reject
        _read(spark, tiny)
        work = {
            "loop": lambda: _loop(tree),
            "no filters": lambda: _read(spark, tree, f"documents.filters={FILTERS_OFF}"),
            "filters": lambda: _read(spark, tree),
        }
        rounds = [{name: _seconds(each) for name, each in work.items()} for _ in range(given.rounds)]
        for each in rounds:
            each["loop"] |= {"engine": 0.0, "workers": 0.0}  # idle beside it, they are no part of it
        spark.stop()
    ratios = [sum(each["loop"].values()) / sum(each["no filters"].values()) for each in rounds]
    _, middle = sorted(zip(ratios, rounds, strict=True), key=lambda pair: pair[0])[given.rounds // 2]
    print(f"{'':12} {'MB/s/core':>10} {'us/document':>12} {'CPU s':>7}  of it {' / '.join(KINDS)}")
    for name, shares in middle.items():
        total, parts = sum(shares.values()), " / ".join(f"{share:.1f}" for share in shares.values())
        print(f"{name:12} {size / 1e6 / total:10.1f} {total / count * 1e6:12.1f} {total:7.1f}  {parts}")
    print(f"without filters {', '.join(f'{ratio:.2f}' for ratio in ratios)} of the loop's MB/s by round (goal: >= 0.5)")


def lay_out(root: Path, files: int, megabytes: float, seed: int) -> int:
    """A tree of `files` files with so many megabytes of documents (one at least) each, their signals and duplicates; returns the count."""
    letters, draw = np.array(list("etaoinshrdlucmfw")), np.random.default_rng(seed)
    words = ["".join(draw.choice(letters, draw.integers(2, 11))) for _ in range(20_000)]
    words[2000::200] = [f"{word}’s" for word in words[2000::200]]  # most pages have something beyond Latin-1
    zipf = np.cumsum(1 / (np.arange(len(words)) + 2.7))
    count = 0
    for number in range(files):
        name, draw = f"2023-06/{number:04}/en_head", np.random.default_rng([seed, number])
        lines: list[bytes] = []
        signals: list[bytes] = []
        size = 0
        while not lines or size < megabytes * 1e6:
            length = int(np.clip(draw.lognormal(6.0, 1.1), 20, 50_000))  # words: half of the pages have more than 400
            chosen = [words[word] for word in np.searchsorted(zipf, draw.random(length) * zipf[-1])]
            ends = [0, *np.cumsum(draw.geometric(1 / 18, length // 18)).clip(max=length).tolist(), length]
            text = [" ".join(chosen[a:b]).capitalize() + "." for a, b in itertools.pairwise(ends) if a < b]
            signals.append(orjson.dumps(_signals(f"{name}.json.gz/{len(lines)}", text, draw)) + b"\n")
            lines.append(orjson.dumps(_document(text)) + b"\n")
            size += len(lines[-1])
        count += len(lines)
        for file, content in ((f"documents/{name}.json.gz", lines), (f"quality_signals/{name}.signals.json.gz", signals)):
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_bytes(gzip.compress(b"".join(content), 6))
        named = {"shard_id": [f"{name}.json.gz"], "doc_id": [f"{name}.json.gz/{len(lines) - 1}"], "digest": [_DIGEST]}
        (root / f"duplicates/{name}").parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pa.table(named), root / f"duplicates/{name}.duplicates.parquet")
    return count


def _document(lines: list[str]) -> dict[str, Any]:
    text, kept = "\n".join(lines), list(range(3, 3 + 2 * len(lines), 2))
    page = {"url": f"https://www.{lines[0][:12]}.org/{len(text)}.html", "date_download": "2023-02-03T12:00:00Z"}
    page |= {"digest": _DIGEST, "length": len(text), "nlines": len(lines)}
    page |= {"source_domain": f"{lines[0][:12]}.org", "title": lines[0][:60], "raw_content": text}
    page |= {"cc_segment": "crawl-data/CC-MAIN-2023-06/segments/1674764494826.88/wet/CC-MAIN-20230126210844-00000.warc.wet.gz"}
    page |= {"original_nlines": 2 * len(lines), "original_length": 2 * len(text), "line_ids": kept}
    return page | {"language": "en", "language_score": 0.95, "perplexity": 304.6, "bucket": "head"}


def _signals(name: str, lines: list[str], draw: np.random.Generator) -> dict[str, Any]:
    ends = [0, *np.cumsum([len(line) + 1 for line in lines]).tolist()]
    spans: dict[str, list[list[float]]] = {
        signal: [[0, ends[-1], score]]
        for signal, score in zip(OF_DOCUMENTS, draw.random(len(OF_DOCUMENTS)).tolist(), strict=True)
    }
    for signal in OF_LINES:
        scores = (draw.integers(0, 40, len(lines)) / 8).tolist()
        spans[signal] = [[a, b, score] for (a, b), score in zip(itertools.pairwise(ends), scores, strict=True)]
    meta = {"cc_net_source": name, "url": "https://www.example.org/", "source_domain": "example.org", "language": "en"}
    return {"id": name, "id_int": int(draw.integers(2**62)), "metadata": meta, "quality_signals": spans}


def _loop(tree: Path) -> int:
    size = 0
    for file in tree.rglob("*.gz"):
        with gzip.open(file) as lines:
            for line in lines:
                orjson.loads(line)
                size += len(line)
    return size


def _rows(spark: SparkSession, tree: Path, *overrides: str) -> DataFrame:
    return documents.read(spark, load(overrides=[f"documents.path={tree}", *overrides]).documents)


def _read(spark: SparkSession, tree: Path, *overrides: str) -> None:
    _rows(spark, tree, *overrides).write.format("noop").mode("overwrite").save()


def _seconds(work: Callable[[], object]) -> dict[str, float]:
    """The CPU seconds that it takes, by kind of process. Raises RuntimeError if one has ended, and nobody knows what it used."""
    before = _used()
    work()
    after = _used()
    if not before.keys() <= after.keys():
        raise RuntimeError("a process ended meanwhile, its CPU seconds are lost: run again")
    used = dict.fromkeys(KINDS, 0.0)
    for (pid, kind), seconds in after.items():
        used[kind] += seconds - before.get((pid, kind), 0.0)
    return used


def _used() -> dict[tuple[int, str], float]:
    found = {(pid, kind): seconds for pid, _, kind, _, seconds in processes(os.getpid())}
    return found | {(os.getpid(), "driver"): time.process_time()}


if __name__ == "__main__":
    main()
