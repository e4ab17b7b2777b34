"""Near-duplicates by exact Jaccard, MinHash and cosine: a row is removed only where a kept row within the threshold represents it."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from personahub.config import Dedup, LexicalDedup, SemanticDedup
from personahub.errors import InputError

if TYPE_CHECKING:
    from personahub.dedup.ivf_index import Search

__all__ = ["ByVectors", "ByWords", "by_vectors", "by_words", "deduplicate", "represented"]

Materialise = Callable[[DataFrame, str], DataFrame]
Verdicts = tuple[DataFrame, DataFrame]
MET = 1 / 16  # the share of a batch's keys that meet another's, mostly fewer


class ByWords(NamedTuple):
    """What the words decide. duplicates, rejects: see `deduplicate`. stored: ids that are gone (id), all copies among them -> what a hub
    stores of the other rows, and the next ones are compared with (`jaccard_join.stored`).
    """

    duplicates: DataFrame
    rejects: DataFrame
    stored: Callable[[DataFrame], DataFrame]


class ByVectors(NamedTuple):
    """What the vectors decide. duplicates, rejects: see `deduplicate`. packed: ids that are gone (id) -> what a hub keeps of the other
    rows' vectors, and the next ones are compared with (`cosine_join.pack`).
    """

    duplicates: DataFrame
    rejects: DataFrame
    packed: Callable[[DataFrame], DataFrame]


def deduplicate(
    rows: DataFrame,
    config: Dedup,
    materialise: Materialise,
    hub_texts: DataFrame | None = None,
    hub_vectors: DataFrame | None = None,
    search: "Search | None" = None,
) -> Verdicts:
    """Rows (id, level, text, vector) -> (duplicates, rejects).

    id: strings or integers, distinct in `rows` (the caller's to see to); level: int from 1 on, 1 + hop. The lower the level, then the id,
    the higher the priority. text: string or null; without the column no words are compared. vector: array of numbers, compared if
    semantic.enabled, where the words kept the row. materialise(frame, name) writes a frame once and returns what it wrote.

    duplicates: id, duplicate_of (the row that it was compared with, which may have been removed later), representative (the kept row that
    a chain of duplicate_of ends in), method (identical, exact, minhash, semantic), score (double, of id and duplicate_of), round (int); an
    id at most once.
    rejects: id, reason (empty_text, too_long, or what is wrong with a vector): rows that were not compared and are not to be kept.
    hub_texts: rows of `jaccard_join.stored`, all by `jaccard_join.scheme(config.lexical)`; hub_vectors: those of `cosine_join.pack`, all by `search`.
    Those behind them stand above all `rows` and are not decided again. search: `cosine_join.prepare` of all vectors, if the caller has made
    it. `rows` is evaluated several times, the results are not: they are read from what was written.
    """
    if "text" not in rows.columns and not config.semantic.enabled:
        raise InputError(
            "there is nothing to compare: neither a column of texts nor, with dedup.semantic.enabled, one of vectors"
        )
    if "text" not in rows.columns:
        return by_vectors(rows, config.semantic, materialise, hub_vectors, search)[:2]
    duplicates, rejects, _ = by_words(rows, config.lexical, materialise, hub_texts)
    if not config.semantic.enabled:
        return duplicates, rejects
    gone = duplicates.select("id").unionByName(rejects.select("id"))
    left = rows.join(gone, on="id", how="left_anti")
    more, refused, _ = by_vectors(left, config.semantic, materialise, hub_vectors, search)
    return represented(duplicates, more).unionByName(more), rejects.unionByName(refused)


def represented(duplicates: DataFrame, later: DataFrame) -> DataFrame:
    """Duplicates, some of whose representatives were removed by a later step (id, representative), with the representatives of those."""
    following = later.select(F.col("id").alias("representative"), F.col("representative").alias("next"))
    followed = F.coalesce("next", "representative").alias("representative")
    joined = duplicates.join(following, on="representative", how="left")
    return joined.select(*(followed if name == "representative" else name for name in duplicates.columns))


def by_words(rows: DataFrame, config: LexicalDedup, materialise: Materialise, hub_texts: DataFrame | None = None) -> ByWords:
    """`deduplicate` by the words alone: rows (id, level, text)."""
    from personahub.dedup import greedy_rounds, jaccard_join, shared_keys  # here, because numba takes its time to import

    if hub_texts is not None:
        kind = T.ArrayType(rows.schema["id"].dataType)
        hub_texts = hub_texts.withColumn("ids", F.col("ids").cast(kind))  # bundles hold ids as bytes: of one type
    copies, near, refused = _compared(rows, config, materialise, hub_texts)

    def again(removed: DataFrame, pending: DataFrame, most: int) -> DataFrame:
        asked = rows.join(pending, on="id", how="left_semi")
        sieve = shared_keys.of_keys(shared_keys.all_keys(asked, config, materialise, f"dedup.lexical.open-{most}"))
        gone = removed.unionByName(copies.select(F.col("low").alias("id"))).unionByName(refused.select("id"))
        bits = shared_keys.part_bits(sieve)
        left = jaccard_join.bundles(rows.join(gone, on="id", how="left_anti"), config, sieve, bits)
        if hub_texts is not None:
            left = left.unionByName(jaccard_join.stored_bundles(hub_texts, sieve, bits))
        return jaccard_join.found(left, rows.schema["id"].dataType, config.threshold, most)

    removed = _by(config.method, greedy_rounds.resolve(near, jaccard_join.MOST, again, materialise, "dedup.lexical"))
    same = copies.select(F.col("low").alias("id"), F.col("high").alias("duplicate_of"), "score", F.lit(0).alias("round"))
    duplicates = represented(_by("identical", same), removed).unionByName(removed)
    return ByWords(duplicates, refused, partial(jaccard_join.stored_without, rows, config))


def _compared(
    rows: DataFrame, config: LexicalDedup, materialise: Materialise, hub_texts: DataFrame | None
) -> tuple[DataFrame, DataFrame, DataFrame]:
    """FOUND copies, and near pairs; and id, reason of the rows that were not compared."""
    from personahub.dedup import jaccard_join, shared_keys

    if hub_texts is None:
        sieve = shared_keys.of_shared(rows, config, materialise)
        bundles = jaccard_join.bundles(rows, config, sieve, shared_keys.part_bits(sieve))
    else:
        keys = shared_keys.all_keys(rows, config, materialise, "dedup.lexical.keys")
        sieve = shared_keys.of_keys(keys)
        bits = shared_keys.part_bits(sieve, MET)
        met = materialise(jaccard_join.stored_bundles(hub_texts, sieve, bits), "dedup.lexical.met")
        bundles = jaccard_join.bundles(rows, config, shared_keys.of_shared_or_met(keys, met), bits).unionByName(met)
    pairs = jaccard_join.found(bundles, rows.schema["id"].dataType, config.threshold, jaccard_join.MOST)
    compared, refused = _without_refused(materialise(pairs, "dedup.lexical.found"))
    return compared.where("identical"), compared.where(~F.col("identical")), refused


def by_vectors(
    rows: DataFrame,
    config: SemanticDedup,
    materialise: Materialise,
    hub_vectors: DataFrame | None = None,
    search: "Search | None" = None,
) -> ByVectors:
    """`deduplicate` by the vectors alone: rows (id, level, vector)."""
    from personahub.dedup import cosine_join, greedy_rounds

    search = search or cosine_join.prepare(rows, config)
    pairs = cosine_join.found(rows, search, config.threshold, hub_vectors, greedy_rounds.MOST)
    compared, refused = _without_refused(materialise(pairs, "dedup.semantic.found"))

    def again(removed: DataFrame, pending: DataFrame, most: int) -> DataFrame:
        left = rows.join(removed, on="id", how="left_anti")
        return _without_refused(cosine_join.found(left, search, config.threshold, hub_vectors, most))[0]

    duplicates = _by("semantic", greedy_rounds.resolve(compared, greedy_rounds.MOST, again, materialise, "dedup.semantic"))
    return ByVectors(duplicates, refused, partial(cosine_join.pack_without, rows, search))


def _without_refused(found: DataFrame) -> Verdicts:
    """FOUND -> the pairs, and id, reason of the rows that were not compared."""
    refused = F.col("refused").isNotNull()
    return found.where(~refused), found.where(refused).select(F.col("low").alias("id"), F.col("refused").alias("reason"))


def _by(method: str, removed: DataFrame) -> DataFrame:
    """The duplicates by one method, which kept all that they are duplicates of."""
    representative, named = F.col("duplicate_of").alias("representative"), F.lit(method).alias("method")
    return removed.select("id", "duplicate_of", representative, named, "score", "round")
