"""The jobs of benchmarks/embedding_dedup.py, each a process of its own, so that its CPU and memory can be told apart.

    python benchmarks/embedding_jobs.py NAME INPUT OUT

INPUT: a parquet file of embeddings.write. OUT: npz with `low` and `high`, the pairs that were found, and `removed` (bool); rows are in the
order of the ids; duplicate_of and score of what is removed. NAME is ours or ours-warm, which writes its `seconds` of CPU, too.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import embeddings
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from common import two_cores
from measure import cpu_of_all

THRESHOLD, PROBES, SEED = 0.9, 4, 1
WARM = 3  # runs in one session, of which the last counts


def ours(source: Path, folder: Path) -> dict[str, Any]:
    """`deduplicate`, with Spark on two cores or the embedded engine."""
    spark = _session(source)
    _deduplicated(spark, source, folder)
    spark.stop()
    return _answer(source, folder)


def ours_warm(source: Path, folder: Path) -> dict[str, Any]:
    """The same again and again in one session: what a vector costs once the engine is warm (Spark: compiled, its workers there)."""
    spark = _session(None)
    few = embeddings.write(folder.with_suffix(".few.parquet"), 1_000, 384, SEED)
    spent = {}
    for path in (few, source):
        for _ in range(WARM):
            began = cpu_of_all()
            _deduplicated(spark, path, folder)
            spent[path] = cpu_of_all() - began
    spark.stop()
    return {**_answer(source, folder), "seconds": spent[source] - spent[few]}


JOBS: dict[str, Callable[[Path, Path], dict[str, Any]]] = {"ours": ours, "ours-warm": ours_warm}


def _session(tool_reads: Path | None) -> Any:
    """On two cores: as `personahub dedup --vectors` has it for this input, or, for None, as a hub has it."""
    from personahub import engines
    from personahub.config import load
    from personahub.dedup_tool.files import bytes_read
    from personahub.dedup_tool.input import detect

    job = engines.Job(bytes_read(detect(str(tool_reads)))) if tool_reads else None
    return engines.open_session(load(overrides=two_cores()), job=job)


def _deduplicated(spark: Any, source: Path, folder: Path) -> None:
    from personahub.config import Config, SemanticDedup
    from personahub.dedup import by_vectors
    from personahub.storage.delta import Store

    shutil.rmtree(folder, ignore_errors=True)
    materialise = Store(spark, Config(root=str(folder))).materialise
    config = SemanticDedup(enabled=True, threshold=THRESHOLD, probes=PROBES, seed=SEED)
    duplicates, _ = by_vectors(spark.read.parquet(str(source)), config, materialise)
    duplicates.write.parquet(str(folder / "duplicates"))


def _answer(source: Path, folder: Path) -> dict[str, Any]:
    ids = pq.read_table(source, columns=["id"]).sort_by("id")["id"]
    found = pq.read_table(folder / "_scratch" / "dedup.semantic.found", columns=["row", "earlier"])
    duplicates = pq.read_table(folder / "duplicates")
    low, high = (pc.index_in(found[name], ids).to_numpy().astype(np.int64) for name in ("row", "earlier"))
    row, by = (pc.index_in(duplicates[name], ids).to_numpy().astype(np.int64) for name in ("id", "duplicate_of"))
    removed, duplicate_of, score = np.zeros(len(ids), bool), np.full(len(ids), -1), np.zeros(len(ids))
    removed[row], duplicate_of[row], score[row] = True, by, duplicates["score"].to_numpy()
    return {"low": low, "high": high, "removed": removed, "duplicate_of": duplicate_of, "score": score}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=JOBS)
    parser.add_argument("input", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    found = JOBS[given.name](given.input, given.out.with_suffix(""))
    np.savez(given.out, **found)
    print(f"{given.name}: {len(found['low']):,} pairs, {int(found['removed'].sum()):,} of {len(found['removed']):,} rows removed")
