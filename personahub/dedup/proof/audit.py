"""The invariants of a deduplication, proved on what it gave: each claim is computed again, by another road, from the texts and vectors.

Rows that were removed are scored again one by one, by `text.tokens` itself; drawn rows are held against all for what was missed.
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
_ORDER = {"identical": 0, "exact": 1, "minhash": 1, "semantic": 2}
_NEVER, _REFUSED = 9, -1  # fates of a row beside the numbers of the method that removed it
SEMANTIC_MISSES = 0.01  # share of the drawn vectors with a neighbour that may be kept beside it
_COSINE = 1e-6  # what a cosine may differ by when it is summed in another order


@dataclass(frozen=True)
class Finding:
    """One claim, whether it holds, and the figures that say so."""

    claim: str
    holds: bool
    figures: str


def audit(rows: DataFrame, duplicates: DataFrame, rejects: DataFrame, config: Dedup, materialise: Materialise) -> list[Finding]:
    """All rows (id, level, and text or vector or both), what became of them, and the settings -> the claims.

    duplicates: id, duplicate_of, representative, method, score. rejects: id (null: of no row). Reads `rows` several times: hand in what is written already.
    """
    removed = materialise(_beside_their_originals(rows, duplicates, rejects, config.lexical), "audit.removed")
    findings = [_once(rows, duplicates, rejects), *_named(removed, config), _chains(rows, duplicates, rejects)]
    if "text" in rows.columns:
        lexical = config.lexical
        by_words = duplicates.where(F.col("method") != "semantic")
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
    twice, strange = _how_many(F.col("times") > 1).alias("twice"), _how_many(F.col("known").isNull()).alias("strange")
    sums = F.count("known").alias("rows"), F.count("times").alias("ids"), twice, strange
    found = times.join(known, on="id", how="full").agg(*sums).collect()[0]
    gone = found.ids - found.strange
    wrong = (
        f"; {found.twice:,} ids are named twice, {found.strange:,} are not in the input" if found.twice or found.strange else ""
    )
    figures = f"{found.rows:,} rows, {found.rows - gone:,} kept, {gone:,} not{wrong}"
    return Finding("each row is kept, or a duplicate, or a reject", not found.twice and not found.strange, figures)


# -- rows that were removed ----------------------------------------------------------------------------------------------------------------


def _beside_their_originals(rows: DataFrame, duplicates: DataFrame, rejects: DataFrame, config: LexicalDedup) -> DataFrame:
    """id, duplicate_of, method, score, above (duplicate_of comes before id), kept (the method kept it), again (the score, computed anew)."""
    content = [name for name in ("text", "vector") if name in rows.columns]
    own = rows.select("id", "level", *content)
    originals = rows.select(
        F.col("id").alias("duplicate_of"), *(F.col(name).alias(f"original_{name}") for name in ("level", *content))
    )
    fates = duplicates.select(F.col("id").alias("duplicate_of"), _number("method").alias("fate"))
    refused = rejects.where(F.col("id").isNotNull()).select(F.col("id").alias("duplicate_of"), F.lit(_REFUSED).alias("fate"))
    pairs = duplicates.select("id", "duplicate_of", "method", F.col("score").cast("double"))
    beside = (
        pairs.join(own, on="id", how="left")
        .join(originals, on="duplicate_of", how="left")
        .join(fates.unionByName(refused), on="duplicate_of", how="left")
    )
    higher = F.col("original_level") < F.col("level")
    first = (F.col("original_level") == F.col("level")) & (F.col("duplicate_of") < F.col("id"))
    above = F.col("original_level").isNull() | higher | first  # where the row is missing, `kept` is false
    kept = F.col("original_level").isNotNull() & (F.coalesce("fate", F.lit(_NEVER)) > _number("method"))
    texts = [name for side in ("", "original_") for name in (f"{side}{one}" for one in content)]
    flat = beside.select("id", "duplicate_of", "method", "score", _true(above).alias("above"), _true(kept).alias("kept"), *texts)
    schema = T.StructType([*flat.schema[:6], T.StructField("again", T.DoubleType())])
    return flat.mapInArrow(partial(_scored_again, config.unit, config.ngram), schema)


def _scored_again(unit: str, ngram: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        scores = [_similarity(row, unit, ngram) for row in batch.to_pylist()]
        yield pa.RecordBatch.from_arrays(
            [*batch.columns[:6], pa.array(scores, pa.float64())], names=[*batch.schema.names[:6], "again"]
        )


def _similarity(row: dict[str, Any], unit: str, ngram: int) -> float | None:
    """By the definition; None where one of the two rows is not there."""
    one, other = ("vector", "original_vector") if row["method"] == "semantic" else ("text", "original_text")
    if row[one] is None or row[other] is None:
        return None
    if row["method"] == "semantic":
        x, y = np.array(row[one], np.float64), np.array(row[other], np.float64)
        return float(x @ y / np.sqrt((x @ x) * (y @ y)))
    x, y = (text.tokens(row[side], unit, ngram) for side in (one, other))
    return len(x & y) / len(x | y) if x | y else None


def _named(removed: DataFrame, config: Dedup) -> Iterator[Finding]:
    semantic = F.col("method") == "semantic"
    lowest = (
        F.when(semantic, config.semantic.threshold).when(F.col("method") == "identical", 1.0).otherwise(config.lexical.threshold)
    )
    off = F.when(semantic, F.abs(F.col("again") - F.col("score")) > _COSINE).otherwise(F.col("again") != F.col("score"))
    wrong = {"kept": ~F.col("kept"), "above": ~F.col("above"), "score": ~_true((F.col("score") >= lowest) & ~off)}
    sums = [_how_many(condition).alias(name) for name, condition in wrong.items()]
    named = [F.min(F.when(condition, F.col("id"))).alias(f"{name}_id") for name, condition in wrong.items()]
    by_method = removed.groupBy("method").agg(F.count("*").alias("rows"), F.min("score").alias("least"), *sums, *named).collect()
    by_method.sort(key=lambda row: _ORDER.get(row.method, _NEVER))
    rows = ", ".join(f"{row.method} {row.rows:,}" for row in by_method) or "none was removed"
    lowest = ", ".join(f"{row.method} {row.least:.4f}" for row in by_method) or "none"

    def finding(name: str, claim: str, said: str) -> Finding:
        bad = sum(row[name] for row in by_method)
        first = next((row[f"{name}_id"] for row in by_method if row[name]), None)
        return Finding(claim, not bad, said + (f"; {bad:,} do not, the first is {first!r}" if bad else ""))

    yield finding("kept", "every duplicate names a row that its method kept", rows)
    yield finding("above", "and that comes before it", rows)
    yield finding("score", "and has the exact score it states, at the threshold or above", f"least: {lowest}")


def _chains(rows: DataFrame, duplicates: DataFrame, rejects: DataFrame) -> Finding:
    at = duplicates.select("representative", F.col("duplicate_of").alias("at"), F.lit(1).alias("steps"))
    following = duplicates.select(F.col("id").alias("at"), F.col("duplicate_of").alias("next"))
    for _ in range(STEPS):
        joined = at.join(following, on="at", how="left")
        more = F.col("steps") + F.col("next").isNotNull().cast("int")
        at = joined.select("representative", F.coalesce("next", "at").alias("at"), more.alias("steps"))
    removed = duplicates.select(F.col("id").alias("at")).unionByName(rejects.select(F.col("id").alias("at")))
    kept = rows.select(F.col("id").alias("at")).join(removed, on="at", how="left_anti").withColumn("kept", F.lit(True))
    holds = F.col("kept") & (F.col("steps") <= STEPS) & (F.col("at") == F.col("representative"))
    sums = F.coalesce(F.max("steps"), F.lit(0)).alias("longest"), _how_many(~_true(holds)).alias("wrong")
    found = at.join(kept, on="at", how="left").agg(*sums).collect()[0]
    figures = f"{found.longest} at most" + (f"; {found.wrong:,} do not" if found.wrong else "")
    return Finding(f"duplicate_of leads to a kept row, the representative, in {STEPS} steps or fewer", not found.wrong, figures)


# -- rows that were kept --------------------------------------------------------------------------------------------------------------------


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


def _number(method: str) -> Column:
    number = F.lit(_NEVER)
    for name, order in _ORDER.items():
        number = F.when(F.col(method) == name, F.lit(order)).otherwise(number)
    return number


def _how_many(condition: Column) -> Column:
    return F.coalesce(F.sum(F.when(condition, 1).otherwise(0)), F.lit(0))


def _true(condition: Column) -> Column:
    """Null is not true."""
    return F.coalesce(condition, F.lit(False))
