"""The jobs of benchmarks/embedding_dedup.py, each a process of its own, so that its CPU and memory can be told apart.

    python benchmarks/embedding_jobs.py NAME INPUT OUT

INPUT: a parquet file of embeddings.write. OUT: npz with `low` and `high`, the pairs that were found, and `removed` (bool); rows are in the
order of the ids. `ours` writes duplicate_of and score, too; ours-warm its `seconds` of CPU, kernel the `seconds` of its steps.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import embeddings
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from common import two_cores

THRESHOLD, PROBES, SEED, MOST = 0.9, 4, 1, 32
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


def kernel(source: Path, folder: Path) -> dict[str, Any]:
    """Ours without an engine, on one core: the clusters, the visits and the pairs."""
    from personahub.dedup import ivf_index
    from personahub.dedup.kernels import boundary_probes, kmeans
    from personahub.dedup.kernels import vectors as checked

    lists = pq.read_table(source, columns=["id", "vector"]).sort_by("id")["vector"].combine_chunks()
    warm, _ = checked.from_arrow(lists.slice(0, 500), len(lists[0]))
    _pairs(warm, kmeans.train(warm, 8, SEED, THRESHOLD), 0.05)  # the kernels are loaded
    clock = [time.process_time()]
    vectors, _ = checked.from_arrow(lists, len(lists[0]))
    clock.append(time.process_time())
    count, clusters = len(vectors), round(1.5 * len(vectors) ** 0.5)
    order = np.random.default_rng(SEED).permutation(count)
    held_out = min(ivf_index.HELD_OUT, count // 2)
    sampled = order[: held_out + min(ivf_index.MAX_SAMPLED, ivf_index.PER_CLUSTER * clusters)]
    held, rest = np.split(sampled, [held_out])
    centroids = kmeans.train(vectors[np.sort(rest)], clusters, SEED, THRESHOLD)
    margin = boundary_probes.margin(vectors[held], centroids, PROBES, THRESHOLD)
    clock.append(time.process_time())
    low, high = _pairs(vectors, centroids, margin)
    clock.append(time.process_time())
    return {"low": low, "high": high, "removed": _greedy(count, low, high), "seconds": np.diff(clock)}


def faiss_ivf(source: Path, folder: Path) -> dict[str, Any]:
    """FAISS IndexIVFFlat, as many lists as the square root of the rows, range_search with 4 probes; greedy on its pairs. One thread."""
    import faiss

    faiss.omp_set_num_threads(1)
    vectors = embeddings.read(source)
    lists = max(1, round(len(vectors) ** 0.5))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(vectors.shape[1]), vectors.shape[1], lists, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    index.nprobe = PROBES
    ends, _, other = index.range_search(vectors, THRESHOLD)
    row = np.repeat(np.arange(len(vectors)), np.diff(ends.astype(np.int64)))
    pairs = np.unique(np.stack([np.maximum(row, other), np.minimum(row, other)])[:, row != other], axis=1)
    return {"low": pairs[0], "high": pairs[1], "removed": _greedy(len(vectors), *pairs)}


def semdedup(source: Path, folder: Path) -> dict[str, Any]:
    """The rule of SemDeDup in numpy: k-means on all rows, each in one cluster; removed if any earlier row of it is within the threshold."""
    vectors = embeddings.read(source)
    draw = np.random.default_rng(SEED)
    centroids = vectors[draw.choice(len(vectors), max(1, round(len(vectors) ** 0.5)), replace=False)]
    for _ in range(10):
        home = _nearest(vectors, centroids)
        order = np.argsort(home, kind="stable")
        starts = np.searchsorted(home[order], np.unique(home))
        sums = np.add.reduceat(vectors[order], starts, axis=0)
        centroids = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    home, found = _nearest(vectors, centroids), []
    for cluster in range(len(centroids)):
        rows = np.flatnonzero(home == cluster)
        low, high = np.nonzero(np.tril(vectors[rows] @ vectors[rows].T, -1) >= THRESHOLD)
        found.append(np.stack([rows[low], rows[high]]))
    low, high = np.concatenate(found, axis=1)
    removed = np.zeros(len(vectors), bool)
    removed[low] = True
    return {"low": low, "high": high, "removed": removed}


JOBS: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "ours": ours,
    "ours-warm": ours_warm,
    "kernel": kernel,
    "faiss": faiss_ivf,
    "semdedup": semdedup,
}


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


def cpu_of_all() -> float:
    """Seconds of this process and of all that it started, those that have ended and were waited for included; Linux."""
    parents, used = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended meanwhile
                continue
            parents[int(folder.name)], used[int(folder.name)] = int(stat[1]), sum(map(int, stat[11:15]))
    mine, new = set(), {os.getpid()}
    while new:
        mine |= new
        new = {pid for pid, parent in parents.items() if parent in mine} - mine
    return sum(used[pid] for pid in mine) / os.sysconf("SC_CLK_TCK")


def _pairs(vectors: np.ndarray, centroids: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray]:
    from personahub.dedup.kernels import boundary_probes, cosine

    no = np.zeros(len(vectors), bool)
    starts, clusters = boundary_probes.visits(vectors, centroids, boundary_probes.centroid_distances(centroids), margin)
    row, home = np.repeat(np.arange(len(vectors)), np.diff(starts)), np.zeros(len(clusters), bool)
    home[starts[:-1]] = True
    return cosine.cosine_pairs(vectors, row, clusters, home, no, THRESHOLD, MOST)[:2]


def _greedy(count: int, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    removed = [False] * count
    for at in np.lexsort((high, low)).tolist():
        if not removed[high[at]]:
            removed[low[at]] = True
    return np.array(removed)


def _nearest(vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    blocks = range(0, len(vectors), embeddings.BLOCK)
    return np.concatenate([(vectors[at : at + embeddings.BLOCK] @ centroids.T).argmax(axis=1) for at in blocks])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=JOBS)
    parser.add_argument("input", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    found = JOBS[given.name](given.input, given.out.with_suffix(""))
    np.savez(given.out, **found)
    print(f"{given.name}: {len(found['low']):,} pairs, {int(found['removed'].sum()):,} of {len(found['removed']):,} rows removed")
