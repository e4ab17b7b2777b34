"""Keys that any two unequal sets within a Jaccard threshold share: recall 1 by proof.

Short sets, from a threshold of 0.85 up, by PartEnum (Arasu, Ganti & Kaushik, "Efficient exact set-similarity joins", VLDB 2006): two sets
of a given sum of sizes differ in at most h tokens. A hash splits all tokens into h + 1 parts: in at least one part the two sets do not
differ, and the tokens of this part are their key. Other sets by the prefix filter (`prefix_filter`).
"""

from functools import lru_cache

import numpy as np

from personahub.dedup.kernels import compiled
from personahub.dedup.kernels.jaccard import min_overlaps
from personahub.dedup.kernels.prefix_filter import prefix_keys
from personahub.dedup.kernels.sets import TokenSets
from personahub.dedup.kernels.tokenize import mix

PARTS_FROM = 0.85  # the lowest threshold for parts: below, there would be so many that most are nearly empty
PARTS_UP_TO = 120  # the largest sum of two sizes for parts
_SALT, _LEVEL = np.uint64(0xA0761D6478BD642F), np.uint64(0xE7037ED1A0B428DB)


def exact_keys(sets: TokenSets, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows (int64, ascending) and their keys (uint64): any two unequal sets whose similarity is >= the threshold share a key.

    Equal sets need not share a key: a set without an unequal partner, such as an empty one, has none. Sets with little in common can share
    one, for example an empty part: `buckets` excludes these.
    """
    if threshold < PARTS_FROM:
        return prefix_keys(sets, threshold, 0)
    (rows, keys), (more_rows, more) = _part_keys(sets, threshold), prefix_keys(sets, threshold, PARTS_UP_TO)
    rows, keys = np.concatenate([rows, more_rows]), np.concatenate([keys, more])
    order = np.argsort(rows, kind="stable")
    return rows[order], keys[order]


@lru_cache(maxsize=32)
def levels(threshold: float) -> tuple[tuple[int, ...], ...]:
    """By size, from 0: the levels h at which a set is split into h + 1 parts.

    Both sets of a pair must use one level of at least the number of tokens they may differ in, which depends on the sum of their sizes
    alone. The largest of all sums up to this one will do, or the next level if all sizes of this sum have it anyway: so most sizes have a
    single level.
    """
    needed = [int(overlap) for overlap in min_overlaps(PARTS_UP_TO, threshold)]
    differences = [total - 2 * needed[total] for total in range(PARTS_UP_TO + 1)]
    by_size: list[set[int]] = [set() for _ in range(PARTS_UP_TO)]
    for total in range(PARTS_UP_TO, 1, -1):
        if differences[total] > 0:  # sets that may not differ are equal, or never within the threshold
            sizes = by_size[needed[total] : total - needed[total] + 1]
            level = max(differences[: total + 1])
            level += all(level + 1 in used for used in sizes)
            for used in sizes:
                used.add(level)
    return tuple(tuple(sorted(used)) for used in by_size)


def _part_keys(sets: TokenSets, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    by_size = levels(threshold)
    starts = np.concatenate([[0], np.cumsum([len(used) for used in by_size])])
    used = np.array([level for several in by_size for level in several], np.int64)
    keys_of = np.array([sum(level + 1 for level in several) for several in by_size] + [0])
    rows = np.repeat(np.arange(len(sets)), keys_of[np.minimum(sets.sizes, PARTS_UP_TO)])
    keys = np.empty(len(rows), np.uint64)
    _fill_part_keys(sets.offsets, sets.values, starts, used, keys)
    return rows, keys


@compiled
def _fill_part_keys(offsets, values, starts, levels, keys):
    filled = 0
    for row in range(len(offsets) - 1):
        size = offsets[row + 1] - offsets[row]
        if size >= len(starts) - 1:
            continue
        for level in levels[starts[size] : starts[size + 1]]:
            parts = np.uint64(level + 1)
            content = keys[filled : filled + level + 1]
            for part in range(level + 1):
                content[part] = np.uint64(part + 1) * _LEVEL + parts
            for at in range(offsets[row], offsets[row + 1]):
                token = mix(values[at] ^ _SALT)
                content[np.int64(((token >> np.uint64(32)) * parts) >> np.uint64(32))] += token
            for part in range(level + 1):
                content[part] = mix(content[part])
            filled += level + 1
