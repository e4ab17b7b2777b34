"""The invariants of a deduplication, checked on its results: each claim is computed again, independently, from the texts and vectors.

The pairs of removed rows are scored again one by one, by `text.tokens` itself; drawn rows are compared with all rows.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from personahub import text
from personahub.config import Dedup, LexicalDedup
from personahub.dedup.kernels import minhash
from personahub.dedup.proof.neighbours import Neighbours, near_texts, near_vectors, neighbours

Materialise = Callable[[DataFrame, str], DataFrame]

STEPS = 3  # of a chain: identical, lexical, semantic
SEMANTIC_MISSES = 0.01  # share of the drawn vectors with a neighbour that may be kept beside it
_ORDER = {"identical": 0, "exact": 1, "minhash": 1, "semantic": 2}
_KEPT, _REFUSED = 9, -1  # the steps of rows that no method removed
_COSINE_ERROR = 1e-6  # of a cosine that is summed in another order


@dataclass(frozen=True)
class Finding:
    """One claim, whether it holds, and the figures that show it."""

    claim: str
    holds: bool
    figures: str


def audit(rows: DataFrame, duplicates: DataFrame, rejects: DataFrame, config: Dedup, materialise: Materialise) -> list[Finding]:
    """All rows (id, level, and text or vector or both), the results, and the settings -> the claims.

    duplicates: id, duplicate_of, representative, method, score. rejects: id (null: not of a row). `rows` is read several times.
    """
    removed = materialise(_beside_their_originals(rows, duplicates, rejects, config.lexical), "audit.removed")
    findings = [_once(rows, duplicates, rejects), *_pairs(removed, config), _chains(rows, duplicates, rejects)]
    if "text" in rows.columns:
        lexical, by_words = config.lexical, duplicates.where(F.col("method") != "semantic")
        found = neighbours(rows, "text", by_words, rejects, partial(near_texts, lexical))
        claim = f"no two rows that the words kept reach {lexical.threshold:g}, in a sample"
        findings.append(_nothing_near(claim, found, allowed_misses(found.with_neighbours, lexical)))
    if "vector" in rows.columns:
        found = neighbours(rows, "vector", duplicates, rejects, partial(near_vectors, config.semantic.threshold))
        allowed = math.ceil(SEMANTIC_MISSES * found.with_neighbours)
        findings.append(_nothing_near("no two rows kept reach the cosine, in a sample", found, allowed))
    return findings


def _once(rows: DataFrame, duplicates: DataFrame, rejects: DataFrame) -> Finding:
    named = duplicates.select("id").unionByName(rejects.where(F.col("id").isNotNull()).select("id"))
    times = named.groupBy("id").agg(F.count("*").alias("times"))
    known = rows.select("id", F.lit(True).alias("known"))
    counts = _count(F.col("times") > 1).alias("repeated"), _count(F.col("known").isNull()).alias("unknown")
    sums = F.count("known").alias("rows"), F.count("times").alias("ids"), *counts
    found = times.join(known, on="id", how="full").agg(*sums).collect()[0]
    removed = found.ids - found.unknown
    holds = not found.repeated and not found.unknown
    wrong = "" if holds else f"; {found.repeated:,} ids are named twice, {found.unknown:,} are not in the input"
    figures = f"{found.rows:,} rows, {found.rows - removed:,} kept, {removed:,} not{wrong}"
    return Finding("each row is kept, or a duplicate, or a reject", holds, figures)


# -- rows that were removed ------------------------------------------------------------------------------------------------------------


def _beside_their_originals(rows: DataFrame, duplicates: DataFrame, rejects: DataFrame, config: LexicalDedup) -> DataFrame:
    """id, duplicate_of, method, score, before (duplicate_of comes before id), kept (the method kept it), again (the score, recomputed)."""
    content = [name for name in ("text", "vector") if name in rows.columns]
    own = rows.select("id", "level", *content)
    others = rows.select(F.col("id").alias("duplicate_of"), *(F.col(name).alias(f"other_{name}") for name in ("level", *content)))
    steps = duplicates.select(F.col("id").alias("duplicate_of"), _step("method").alias("step"))
    refused = rejects.where(F.col("id").isNotNull()).select(F.col("id").alias("duplicate_of"), F.lit(_REFUSED).alias("step"))
    pairs = duplicates.select("id", "duplicate_of", "method", F.col("score").cast("double"))
    beside = pairs.join(own, on="id", how="left").join(others, on="duplicate_of", how="left")
    beside = beside.join(steps.unionByName(refused), on="duplicate_of", how="left")
    missing, same = F.col("other_level").isNull(), F.col("other_level") == F.col("level")
    # a row that is missing was not kept, and comes before no other
    before = missing | (F.col("other_level") < F.col("level")) | (same & (F.col("duplicate_of") < F.col("id")))
    kept = ~missing & (F.coalesce("step", F.lit(_KEPT)) > _step("method"))
    texts = [f"{side}{name}" for side in ("", "other_") for name in content]
    flat = beside.select(
        "id", "duplicate_of", "method", "score", _true(before).alias("before"), _true(kept).alias("kept"), *texts
    )
    schema = T.StructType([*flat.schema.fields[:6], T.StructField("again", T.DoubleType())])
    return flat.mapInArrow(partial(_scored_again, config.unit, config.ngram), schema)


def _scored_again(unit: str, ngram: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        scores = pa.array([_similarity(row, unit, ngram) for row in batch.to_pylist()], pa.float64())
        yield pa.RecordBatch.from_arrays([*batch.columns[:6], scores], names=[*batch.schema.names[:6], "again"])


def _similarity(row: dict[str, Any], unit: str, ngram: int) -> float | None:
    """By the definition; None if one of the two rows is missing."""
    name = "vector" if row["method"] == "semantic" else "text"
    one, other = row[name], row[f"other_{name}"]
    if one is None or other is None:
        return None
    if name == "vector":
        x, y = np.array(one, np.float64), np.array(other, np.float64)
        return float(x @ y / np.sqrt((x @ x) * (y @ y)))
    these, those = text.tokens(one, unit, ngram), text.tokens(other, unit, ngram)
    return len(these & those) / len(these | those) if these | those else None


def _pairs(removed: DataFrame, config: Dedup) -> Iterator[Finding]:
    semantic, identical = F.col("method") == "semantic", F.col("method") == "identical"
    threshold = F.when(semantic, config.semantic.threshold).when(identical, 1.0).otherwise(config.lexical.threshold)
    error = F.abs(F.col("again") - F.col("score"))
    right = (F.col("score") >= threshold) & (error <= F.when(semantic, _COSINE_ERROR).otherwise(0.0))
    wrong = {"kept": ~F.col("kept"), "before": ~F.col("before"), "score": ~_true(right)}
    sums = [_count(condition).alias(name) for name, condition in wrong.items()]
    named = [F.min(F.when(condition, F.col("id"))).alias(f"{name}_id") for name, condition in wrong.items()]
    by_method = removed.groupBy("method").agg(F.count("*").alias("rows"), F.min("score").alias("lowest"), *sums, *named).collect()
    by_method.sort(key=lambda row: _ORDER.get(row.method, _KEPT))
    rows = ", ".join(f"{row.method} {row.rows:,}" for row in by_method) or "none was removed"
    lowest = ", ".join(f"{row.method} {row.lowest:.4f}" for row in by_method) or "none"
    for name, claim, shown in (
        ("kept", "every duplicate names a row that its method kept", rows),
        ("before", "and that comes before it", rows),
        ("score", "and has the exact score it states, at the threshold or above", f"lowest: {lowest}"),
    ):
        bad = sum(row[name] for row in by_method)
        first = next((row[f"{name}_id"] for row in by_method if row[name]), None)
        yield Finding(claim, not bad, shown + (f"; {bad:,} do not, the first is {first!r}" if bad else ""))


def _chains(rows: DataFrame, duplicates: DataFrame, rejects: DataFrame) -> Finding:
    at = duplicates.select("representative", F.col("duplicate_of").alias("at"), F.lit(1).alias("steps"))
    following = duplicates.select(F.col("id").alias("at"), F.col("duplicate_of").alias("next"))
    for _ in range(STEPS):
        more = F.col("steps") + F.col("next").isNotNull().cast("int")
        followed = F.coalesce("next", "at").alias("at")
        at = at.join(following, on="at", how="left").select("representative", followed, more.alias("steps"))
    removed = duplicates.select(F.col("id").alias("at")).unionByName(rejects.select(F.col("id").alias("at")))
    kept = rows.select(F.col("id").alias("at")).join(removed, on="at", how="left_anti").withColumn("kept", F.lit(True))
    holds = F.col("kept") & (F.col("steps") <= STEPS) & (F.col("at") == F.col("representative"))
    sums = F.coalesce(F.max("steps"), F.lit(0)).alias("longest"), _count(~_true(holds)).alias("wrong")
    found = at.join(kept, on="at", how="left").agg(*sums).collect()[0]
    figures = f"{found.longest} at most" + (f"; {found.wrong:,} do not" if found.wrong else "")
    return Finding(f"duplicate_of leads to a kept row, the representative, in {STEPS} steps or fewer", not found.wrong, figures)


# -- rows that were kept ---------------------------------------------------------------------------------------------------------------


def allowed_misses(pairs: int, config: LexicalDedup) -> int:
    """exact: none. minhash: what the bands may miss of so many pairs at the threshold, four sigma and two more."""
    if config.method == "exact":
        return 0
    bands, rows = minhash.choose_bands(config.threshold, config.num_perm, config.min_recall)
    expected = pairs * (1 - minhash.recall(config.threshold, bands, rows))
    return math.ceil(expected + 4 * math.sqrt(expected)) + 2


def _nothing_near(claim: str, found: Neighbours, allowed: int) -> Finding:
    shown = f"of {found.drawn:,} drawn, {found.with_neighbours:,} have a neighbour, {found.missed:,} kept beside a kept one"
    return Finding(claim + (f", but for {allowed:,}" if allowed else ""), found.missed <= allowed, shown)


# -- small expressions -----------------------------------------------------------------------------------------------------------------


def _step(method: str) -> Column:
    number = F.lit(_KEPT)
    for name, order in _ORDER.items():
        number = F.when(F.col(method) == name, F.lit(order)).otherwise(number)
    return number


def _count(condition: Column) -> Column:
    return F.coalesce(F.sum(F.when(condition, 1).otherwise(0)), F.lit(0))


def _true(condition: Column) -> Column:
    """Null is not true."""
    return F.coalesce(condition, F.lit(False))
