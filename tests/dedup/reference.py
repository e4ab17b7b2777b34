"""Deduplication as it is defined, on one machine, in plain Python: every pair is looked at. What Spark and the kernels are held against."""

from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np

from personahub import text

Row = tuple[int, Any, str | None]  # level, id, text


def jaccard(one: frozenset, other: frozenset) -> float:
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def deduplicate(
    rows: Iterable[Row],
    threshold: float,
    unit: str = "word",
    ngram: int = 1,
    method: str = "exact",
    seen: Callable[[frozenset, frozenset], bool] = lambda one, other: True,
    decided: Collection[Row] = (),
) -> dict[Any, tuple[Any, str, float]]:
    """By id: (duplicate_of, method, score) of every removed row. seen: the pairs that the method looks at; decided: kept already."""
    removed: dict[Any, tuple[Any, str, float]] = {}
    first: dict[frozenset, Any] = {}
    kept: list[tuple[Any, frozenset]] = []
    known = {row[1] for row in decided}
    for _, name, content in sorted([*rows, *decided], key=lambda row: row[:2]):
        tokens = text.tokens(content or "", unit, ngram)
        if not 0 < len(tokens) <= 2000:
            continue
        if tokens in first:
            removed[name] = (first[tokens], "identical", 1.0)
            continue
        first[tokens] = name
        for above, others in kept if name not in known else ():
            if jaccard(tokens, others) >= threshold and seen(tokens, others):
                removed[name] = (above, method, jaccard(tokens, others))
                break
        else:
            kept.append((name, tokens))
    return removed


def representative(removed: dict[Any, tuple[Any, str, float]], name: Any) -> Any:
    """The kept row that the chain of duplicates ends in."""
    while name in removed:
        name = removed[name][0]
    return name


def collides(one: np.ndarray, other: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """bool[n]: signature i of both agree in all values of some band, which is what makes a pair a candidate of MinHash."""
    same = one[:, : bands * rows] == other[:, : bands * rows]
    return same.reshape(-1, bands, rows).all(axis=2).any(axis=1)
