"""Drawn rows against all rows, pair by pair: whether a kept row has another kept row within the threshold."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub.config import LexicalDedup
from personahub.dedup.arrow_columns import without
from personahub.dedup.kernels import sets
from personahub.dedup.kernels.jaccard import close_pairs
from personahub.dedup.kernels.vectors import error_bound

DRAWN = 512  # rows that are compared with all others
Near = Callable[[pa.Array, pa.Array], tuple[np.ndarray, np.ndarray]]  # two columns -> the positions of the pairs that are near


@dataclass(frozen=True)
class Neighbours:
    """Of the rows drawn: how many have another row within the threshold, and how many are kept, as such a row is (missed)."""

    drawn: int
    with_neighbours: int
    missed: int


def neighbours(
    rows: DataFrame, column: str, removed: DataFrame, rejects: DataFrame, near: Near, max_rows: int = DRAWN
) -> Neighbours:
    """Rows (id, `column`), removed (id), rejects (id) -> `max_rows` rows that are no rejects, drawn by a hash of the id, against all."""
    compared = rows.select("id", column).join(rejects.select("id"), on="id", how="left_anti")
    out = removed.select("id", F.lit(False).alias("kept"))
    compared = compared.join(out, on="id", how="left").select("id", column, F.coalesce("kept", F.lit(True)).alias("kept"))
    drawn = compared.orderBy(F.xxhash64("id"), "id").limit(max_rows).toArrow().combine_chunks()
    if not len(drawn):
        return Neighbours(0, 0, 0)
    ids, content = (drawn[name].chunk(0) for name in ("id", column))

    def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """For each drawn row that has neighbours in a batch, how many, and how many of them are kept."""
        for batch in batches:
            if not batch.num_rows:
                continue
            row, other = without(batch["id"], ids, *near(batch[column], content))
            kept = batch["kept"].to_numpy(zero_copy_only=False)[row]
            counts = [np.bincount(each, minlength=len(ids)) for each in (other, other[kept])]
            at = np.flatnonzero(counts[0])
            yield pa.RecordBatch.from_pydict({"drawn": pa.array(at, pa.int32()), "any": counts[0][at], "kept": counts[1][at]})

    found = (
        compared.mapInArrow(task, "drawn int, any long, kept long").groupBy("drawn").agg(F.sum("kept").alias("kept")).collect()
    )
    kept = drawn["kept"].to_pylist()
    return Neighbours(len(drawn), len(found), sum(1 for row in found if row.kept and kept[row.drawn]))


def near_texts(config: LexicalDedup, texts: pa.Array, others: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The pairs whose Jaccard similarity is at least the threshold."""
    these, those = (sets.token_sets(each, config.unit, config.ngram) for each in (texts, others))
    return close_pairs(these, those, config.threshold)[:2]


def near_vectors(threshold: float, vectors: pa.Array, others: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The pairs whose cosine is above the threshold by more than rounding."""
    these, those = _unit(vectors), _unit(others)
    rows, columns = np.nonzero(these @ those.T >= threshold + error_bound(these.shape[1]))
    return rows, columns


def _unit(vectors: pa.Array) -> np.ndarray:
    """float32 rows of length 1."""
    wide = vectors.flatten().to_numpy(zero_copy_only=False).astype(np.float64).reshape(len(vectors), -1)
    return (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float32)
