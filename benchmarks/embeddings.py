"""Vectors to deduplicate, which of them are within a cosine by plain numpy, and how an answer stands against that.

Rows are positions in the order of the ids, which is their priority.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TOPICS, PLANTED, NEAREST = 4_000, 0.2, (0.85, 1.0)
NEAR = 0.03  # pairs so close above the threshold are the ones that are missed
ALL, ASKED = 150_000, 2_000  # rows up to which all pairs are looked for; rows whose pairs are, where there are more
BLOCK = 4_096


def clustered(rows: int, dimension: int, seed: int) -> np.ndarray:
    """float32[rows, dimension], of unit length: Zipf topics of different spread, and PLANTED rows each at a drawn cosine to another one."""
    draw = np.random.default_rng(seed)
    centres = _unit(draw.standard_normal((TOPICS, dimension), dtype=np.float32))
    spread = draw.uniform(0.6, 0.8, TOPICS).astype(np.float32) / np.float32(dimension**0.5)
    share = 1 / np.arange(1, TOPICS + 1)
    fresh = rows - round(rows * PLANTED)
    topic = draw.choice(TOPICS, fresh, p=share / share.sum())
    out = np.empty((rows, dimension), np.float32)
    for start in range(0, fresh, BLOCK):
        mine = topic[start : min(start + BLOCK, fresh)]
        noise = draw.standard_normal((len(mine), dimension), dtype=np.float32)
        out[start : start + len(mine)] = _unit(centres[mine] + noise * spread[mine, None])
    for start in range(fresh, rows, BLOCK):
        base = out[draw.integers(0, fresh, min(BLOCK, rows - start))]
        aside = draw.standard_normal(base.shape, dtype=np.float32)
        aside = _unit(aside - (aside * base).sum(axis=1, keepdims=True) * base)
        cosine = draw.uniform(*NEAREST, (len(base), 1)).astype(np.float32)
        out[start : start + len(base)] = _unit(cosine * base + np.sqrt(1 - cosine**2) * aside)
    return out[draw.permutation(rows)]


def write(path: Path, rows: int, dimension: int, seed: int) -> Path:
    """A parquet file of id (string), level and vector (list of float), the ids in no order."""
    made = clustered(rows, dimension, seed)
    ids = [f"{number:032x}" for number in np.random.default_rng(seed + 1).permutation(rows)]
    ends = pa.array(np.arange(0, made.size + 1, dimension, dtype=np.int32))
    columns = {"id": ids, "level": np.ones(rows, np.int32), "vector": pa.ListArray.from_arrays(ends, made.ravel())}
    pq.write_table(pa.table(columns), path, row_group_size=max(1_000, rows // 8), use_dictionary=["id"])
    return path


def read(path: Path) -> np.ndarray:
    """The vectors in the order of their ids."""
    table = pq.read_table(path, columns=["id", "vector"]).sort_by("id")
    lists = table["vector"].combine_chunks()
    return lists.flatten().to_numpy().reshape(len(lists), -1)


@dataclass(frozen=True)
class Truth:
    """All pairs that reach the threshold, low > high, ascending by code; of the rows `asked` (bool) alone, where not all are."""

    low: np.ndarray
    high: np.ndarray
    score: np.ndarray
    asked: np.ndarray
    threshold: float

    @property
    def code(self) -> np.ndarray:
        return self.low * len(self.asked) + self.high


@dataclass(frozen=True)
class Standing:
    """How an answer stands; of removed rows those asked are judged."""

    near: float  # recall of the pairs less than NEAR above the threshold
    recall: float
    precision: float  # of the pairs that were found
    removed: int
    unjustified: int  # removed, and no kept row within the threshold
    remaining: int  # true pairs both of whose rows are kept


def truth(vectors: np.ndarray, threshold: float, seed: int) -> Truth:
    """By float32 products in blocks, and what is near the threshold again in float64."""
    count = len(vectors)
    asked = np.ones(count, bool)
    if count > ALL:
        asked[:] = False
        asked[np.random.default_rng(seed).choice(count, ASKED, replace=False)] = True
    rows, parts = np.flatnonzero(asked), []
    for start in range(0, len(rows), BLOCK):
        mine = rows[start : start + BLOCK]
        for other in range(0, count, BLOCK):
            if len(rows) == count and other > start:
                break  # all are asked: each pair comes up from its lower row
            a, b = np.nonzero(vectors[mine] @ vectors[other : other + BLOCK].T >= threshold - 1e-4)
            a, b = mine[a], b + other
            parts.append(np.stack([np.maximum(a, b), np.minimum(a, b)])[:, a != b])
    low, high = np.unique(np.concatenate(parts, axis=1), axis=1)
    score = cosines(vectors, low, high)
    reach = score >= threshold
    return Truth(low[reach], high[reach], score[reach], asked, threshold)


def cosines(vectors: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """float64."""
    out = np.empty(len(low))
    for start in range(0, len(low), BLOCK):
        part = slice(start, start + BLOCK)
        a, b = vectors[low[part]].astype(np.float64), vectors[high[part]].astype(np.float64)
        out[part] = np.einsum("nd,nd->n", a, b) / np.sqrt(np.einsum("nd,nd->n", a, a) * np.einsum("nd,nd->n", b, b))
    return out


def standing(true: Truth, vectors: np.ndarray, low: np.ndarray, high: np.ndarray, removed: np.ndarray) -> Standing:
    """Of one that reports the pairs (low, high), in whatever order and however often, and removes rows (bool)."""
    codes = np.unique(np.maximum(low, high) * len(removed) + np.minimum(low, high))
    found = np.isin(true.code, codes)
    near = true.score < true.threshold + NEAR
    # two float64 sums of one product may differ in the last bits
    right = cosines(vectors, codes // len(removed), codes % len(removed)) >= true.threshold - 1e-12
    kept = ~removed
    covered = np.zeros(len(removed), bool)
    covered[true.low[kept[true.high]]] = True
    covered[true.high[kept[true.low]]] = True
    return Standing(
        float(found[near].mean()),
        float(found.mean()),
        float(right.mean()),
        int(removed.sum()),
        int((removed & ~covered & true.asked).sum()),
        int((kept[true.low] & kept[true.high]).sum()),
    )


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
