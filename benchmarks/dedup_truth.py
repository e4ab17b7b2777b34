"""What is true of a corpus, and how an answer stands against it: recall, precision, who was removed without cause, who was overlooked.

Rows are positions in the order of the ids, which is their priority. The true pairs come from our exact join in memory, which
`cross_check` holds against two other roads: Python sets over all pairs of a small corpus, and counts over postings of the large one.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from personahub.config import LexicalDedup
from personahub.dedup.kernels import minhash, partenum
from personahub.dedup.kernels.buckets import HOT
from personahub.dedup.kernels.candidate_lists import concatenated, grouped, search
from personahub.dedup.kernels.hot_buckets import without_hot
from personahub.dedup.kernels.sets import TokenSets, set_keys, take, token_sets
from personahub.text import tokens

NEAR = 0.95  # pairs below it are the ones that differ at all and are hard to find


@dataclass(frozen=True)
class Truth:
    """All pairs at or above the threshold, low > high, in ascending order of code; those of equal sets too."""

    low: np.ndarray
    high: np.ndarray
    score: np.ndarray  # Jaccard, float64
    first: np.ndarray  # for each row the first one with the same set
    count: int

    @property
    def code(self) -> np.ndarray:
        return self.low * self.count + self.high


@dataclass(frozen=True)
class Standing:
    """How an answer stands; precision is NaN where no pairs are named."""

    near: float  # recall of pairs below NEAR
    recall: float
    precision: float
    removed: int
    unjustified: int  # removed, and no kept row within the threshold
    remaining: int  # true pairs both of whose rows are kept


def read(path: Path) -> tuple[pa.Array, TokenSets]:
    """The ids of a corpus in ascending order, and the token sets of their texts."""
    table = pq.read_table(path, columns=["id", "persona"]).sort_by("id")
    return table["id"].combine_chunks(), token_sets(table["persona"])


def truth(sets: TokenSets, threshold: float) -> Truth:
    _, first, group = np.unique(
        set_keys(sets), axis=0, return_index=True, return_inverse=True
    )  # the first row of each distinct set
    return Truth(*_all_pairs(sets, threshold), first[group.ravel()], len(sets))


def _all_pairs(sets: TokenSets, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """low, high < low int64 and score float64 of every pair within the threshold, equal sets included, by low and then high."""
    equal = grouped(np.arange(len(sets)), set_keys(sets)[:, 0])
    lists = concatenated([without_hot(sets, grouped(*partenum.exact_keys(sets, threshold)), threshold, HOT), equal])
    return search(sets, lists, np.zeros(len(sets), np.bool_), threshold, len(sets))[:3]


def _crossed(
    start_a: np.ndarray, size_a: np.ndarray, start_b: np.ndarray, size_b: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The products of runs: position in a, position in b, and which pair of runs it is from."""
    sizes = size_a * size_b
    source = np.repeat(np.arange(len(sizes)), sizes)
    within = np.arange(len(source)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return start_a[source] + within // size_b[source], start_b[source] + within % size_b[source], source


def reference(true: Truth) -> np.ndarray:
    """int64[n]: who keeps each row out by greedy removal, -1 if it is kept; equal sets first, then pair by pair."""
    own = true.first == np.arange(true.count)
    duplicate_of = np.where(own, -1, true.first)
    between = own[true.low] & own[true.high]
    removed = [False] * true.count
    for low, high in zip(true.low[between].tolist(), true.high[between].tolist(), strict=True):
        if not removed[low] and not removed[high]:
            removed[low] = True
            duplicate_of[low] = high
    return duplicate_of


def unverified(sets: TokenSets, signatures: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """bool, one a row: what is removed where rows that agree in a band count as duplicates, and each component keeps its first row."""
    edges = [np.empty((2, 0), np.int64)]
    for band in range(bands):
        part = np.ascontiguousarray(signatures[:, band * rows : (band + 1) * rows])
        keys = part.view(np.dtype((np.void, part.itemsize * rows))).ravel()
        _, first, bucket = np.unique(keys, return_index=True, return_inverse=True)
        both = np.stack([np.arange(len(sets)), first[bucket.ravel()]])
        edges.append(both[:, both[0] != both[1]])
    low, high = np.concatenate(edges, axis=1)
    graph = coo_array((np.ones(len(low), bool), (low, high)), (len(sets), len(sets)))
    label = connected_components(graph, directed=False)[1]
    removed = np.ones(len(sets), bool)
    removed[np.unique(label, return_index=True)[1]] = False
    return removed


def standing(true: Truth, removed: np.ndarray, found: np.ndarray, precision: float) -> Standing:
    """`found`: bool, one a true pair."""
    near = true.score < NEAR
    kept = ~removed
    covered = np.zeros(true.count, bool)
    covered[true.low[kept[true.high]]] = True
    covered[true.high[kept[true.low]]] = True
    return Standing(
        float(found[near].mean()),
        float(found.mean()),
        precision,
        int(removed.sum()),
        int((removed & ~covered).sum()),
        int((kept[true.low] & kept[true.high]).sum()),
    )


@dataclass(frozen=True)
class Answer:
    """What the command wrote to its folder."""

    removed: np.ndarray  # bool, one a row
    duplicate_of: np.ndarray  # int64, -1 if kept
    precision: float  # share of the named pairs that are true, with their true score
    whole: bool  # each row of the input is in kept or in duplicates, once


def answer(folder: Path, ids: pa.Array, true: Truth) -> Answer:
    duplicates = pq.read_table(folder / "duplicates", columns=["id", "duplicate_of", "score"])
    kept = _positions(pq.read_table(folder / "kept", columns=["id"])["id"], ids)
    row, by = (_positions(duplicates[name], ids) for name in ("id", "duplicate_of"))
    duplicate_of = np.full(len(ids), -1)
    duplicate_of[row] = by
    code = np.maximum(row, by) * true.count + np.minimum(row, by)
    at = np.minimum(np.searchsorted(true.code, code), len(true.code) - 1)
    right = (true.code[at] == code) & (true.score[at] == duplicates["score"].to_numpy())
    whole = np.array_equal(np.sort(np.r_[kept, row]), np.arange(len(ids)))
    return Answer(duplicate_of >= 0, duplicate_of, float(right.mean()), whole)


def _positions(values: pa.ChunkedArray, ids: pa.Array) -> np.ndarray:
    """int64; ValueError for a value that is no id."""
    found = pc.index_in(values, ids)
    if found.null_count:
        raise ValueError(f"{found.null_count:,} of the ids in the answer are none of the input's")
    return found.to_numpy().astype(np.int64)


def met(sets: TokenSets, true: Truth, settings: LexicalDedup) -> np.ndarray:
    """bool, one a true pair: does the method bring its rows together? Equal sets always do; others by a key that they share."""
    rows, position = np.unique(np.r_[true.low, true.high], return_inverse=True)
    a, b = position[: len(true.low)], position[len(true.low) :]
    part = take(sets, rows)
    equal = true.first[true.low] == true.first[true.high]
    if settings.method == "minhash":
        made = minhash.signatures(part, settings.num_perm, settings.seed)
        bands = minhash.choose_bands(settings.threshold, settings.num_perm, settings.min_recall)
        chunks = [slice(at, at + 100_000) for at in range(0, len(a), 100_000)]
        return equal | np.concatenate([_collide(made[a[chunk]], made[b[chunk]], *bands) for chunk in chunks])
    row, key = partenum.exact_keys(part, settings.threshold)
    order = np.argsort(row, kind="stable")
    key, size = key[order], np.bincount(row, minlength=len(rows))
    start = np.cumsum(size) - size
    left, right, source = _crossed(start[a], size[a], start[b], size[b])
    return equal | (np.bincount(source[key[left] == key[right]], minlength=len(a)) > 0)


def _collide(one: np.ndarray, other: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """bool[n]: signature i of both agree in all values of some band."""
    same = one[:, : bands * rows] == other[:, : bands * rows]
    return same.reshape(-1, bands, rows).all(axis=2).any(axis=1)


def cross_check(small: list[str], large: TokenSets, true: Truth, threshold: float, seed: int, probes: int = 100) -> None:
    """Raises AssertionError if the truth is not what two slower roads say."""
    texts = [tokens(text) for text in small]
    slow = {}
    for low, words in enumerate(texts):
        for high in range(low):
            both = len(words & texts[high])
            score = both / (len(words) + len(texts[high]) - both)
            if score >= threshold:
                slow[low, high] = score
    fast = truth(token_sets(pa.array(small)), threshold)
    assert slow == dict(zip(zip(fast.low.tolist(), fast.high.tolist(), strict=True), fast.score.tolist(), strict=True)), "small"
    order = np.argsort(large.values, kind="stable")
    owner, values = np.repeat(np.arange(len(large)), large.sizes)[order], large.values[order]
    for row in np.random.default_rng(seed).choice(true.low, probes):
        own = large.values[large.offsets[row] : large.offsets[row + 1]]
        runs = np.searchsorted(values, own, "left"), np.searchsorted(values, own, "right")
        both = np.bincount(np.concatenate([owner[start:end] for start, end in zip(*runs, strict=True)]), minlength=len(large))
        others = np.flatnonzero(both / (large.sizes[row] + large.sizes - both) >= threshold)
        mine = np.r_[true.high[true.low == row], true.low[true.high == row], row]
        assert np.array_equal(others, np.sort(mine)), f"row {row}"
