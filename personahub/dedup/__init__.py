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
    from personahub.dedup.ivf_index import IvfIndex

__all__ = ["ByVectors", "ByWords", "by_vectors", "by_words", "deduplicate", "represented"]

Materialise = Callable[[DataFrame, str], DataFrame]
HUB_SHARE = 1 / 16  # at most, mostly: of a batch's keys, those that a row of the hub has


class ByWords(NamedTuple):
    """duplicates, rejects: see `deduplicate`. stored: ids of removed rows, all copies among them -> INDEX rows of the others, which a hub
    stores and the next batch is compared with (`jaccard_join.stored`).
    """

    duplicates: DataFrame
    rejects: DataFrame
    stored: Callable[[DataFrame], DataFrame]


class ByVectors(NamedTuple):
    """duplicates, rejects: see `deduplicate`. packed: ids of removed rows -> the vectors of the others, which a hub stores and the next
    batch is compared with (`cosine_join.pack`).
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
    index: "IvfIndex | None" = None,
) -> tuple[DataFrame, DataFrame]:
    """Rows (id, level, text, vector) -> (duplicates, rejects).

    id: strings or integers, distinct in `rows` (the caller checks it). level: int from 1 on, 1 + hop; rows are kept in the order of
    (level, id). text: string or null; without the column no words are compared. vector: array of numbers, compared if semantic.enabled,
    where the words kept the row. materialise(frame, name) writes a frame once and returns what it wrote.

    duplicates: id, duplicate_of (the row that it was compared with, which may have been removed later), representative (the kept row that
    a chain of duplicate_of ends in), method (identical, exact, minhash, semantic), score (double, of id and duplicate_of), round (int); an
    id at most once. rejects: id, reason (empty_text, too_long, or what is wrong with a vector): rows that were not compared.

    hub_texts: rows of `jaccard_join.stored` of one scheme; hub_vectors: of `cosine_join.pack`, all by `index`. Their rows come before all
    `rows` and are not decided again. index: `cosine_join.prepare` of all vectors, if the caller has made it. `rows` is evaluated several
    times; the results are read from what was written.
    """
    if "text" not in rows.columns and not config.semantic.enabled:
        raise InputError(
            "there is nothing to compare: neither a column of texts nor, with dedup.semantic.enabled, one of vectors"
        )
    if "text" not in rows.columns:
        return by_vectors(rows, config.semantic, materialise, hub_vectors, index)[:2]
    duplicates, rejects, _ = by_words(rows, config.lexical, materialise, hub_texts)
    if not config.semantic.enabled:
        return duplicates, rejects
    removed = duplicates.select("id").unionByName(rejects.select("id"))
    left = rows.join(removed, on="id", how="left_anti")
    more, refused, _ = by_vectors(left, config.semantic, materialise, hub_vectors, index)
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

    kind = rows.schema["id"].dataType
    if hub_texts is not None:
        hub_texts = hub_texts.withColumn("ids", F.col("ids").cast(T.ArrayType(kind)))  # blocks hold ids as bytes: of one type
    copies, near, refused = _compared(rows, config, materialise, hub_texts)

    def search(removed: DataFrame, pending: DataFrame, max_pairs: int) -> DataFrame:
        name = f"dedup.lexical.open-{max_pairs}"
        bloom = shared_keys.of_keys(shared_keys.all_keys(rows.join(pending, on="id", how="left_semi"), config, materialise, name))
        out = removed.unionByName(copies.select(F.col("row").alias("id"))).unionByName(refused.select("id"))
        bits = shared_keys.part_bits(bloom)
        blocks = jaccard_join.blocks(rows.join(out, on="id", how="left_anti"), config, bloom, bits)
        if hub_texts is not None:
            blocks = blocks.unionByName(jaccard_join.stored_blocks(hub_texts, bloom, bits))
        return jaccard_join.found(blocks, kind, config.threshold, max_pairs)

    removed = _by(config.method, greedy_rounds.resolve(near, jaccard_join.MAX_PAIRS, search, materialise, "dedup.lexical"))
    same = copies.select(F.col("row").alias("id"), F.col("earlier").alias("duplicate_of"), "score", F.lit(0).alias("round"))
    duplicates = represented(_by("identical", same), removed).unionByName(removed)
    return ByWords(duplicates, refused, partial(jaccard_join.stored_without, rows, config))


def _compared(
    rows: DataFrame, config: LexicalDedup, materialise: Materialise, hub_texts: DataFrame | None
) -> tuple[DataFrame, DataFrame, DataFrame]:
    """PAIRS of copies, and of near texts; and id, reason of the rows that were not compared."""
    from personahub.dedup import jaccard_join, shared_keys

    if hub_texts is None:
        bloom = shared_keys.of_texts(rows, config, materialise)
        blocks = jaccard_join.blocks(rows, config, bloom, shared_keys.part_bits(bloom))
    else:
        keys = shared_keys.all_keys(rows, config, materialise, "dedup.lexical.keys")
        bloom = shared_keys.of_keys(keys)
        bits = shared_keys.part_bits(bloom, HUB_SHARE)
        hub = materialise(jaccard_join.stored_blocks(hub_texts, bloom, bits), "dedup.lexical.met")
        blocks = jaccard_join.blocks(rows, config, shared_keys.of_repeated(keys, hub), bits).unionByName(hub)
    pairs = jaccard_join.found(blocks, rows.schema["id"].dataType, config.threshold, jaccard_join.MAX_PAIRS)
    compared, refused = _without_refused(materialise(pairs, "dedup.lexical.found"))
    return compared.where("identical"), compared.where(~F.col("identical")), refused


def by_vectors(
    rows: DataFrame,
    config: SemanticDedup,
    materialise: Materialise,
    hub_vectors: DataFrame | None = None,
    index: "IvfIndex | None" = None,
) -> ByVectors:
    """`deduplicate` by the vectors alone: rows (id, level, vector)."""
    from personahub.dedup import cosine_join, greedy_rounds

    index = index or cosine_join.prepare(rows, config)
    pairs = cosine_join.found(rows, index, config.threshold, hub_vectors)
    compared, refused = _without_refused(materialise(pairs, "dedup.semantic.found"))

    def search(removed: DataFrame, pending: DataFrame, max_pairs: int) -> DataFrame:
        left = rows.join(removed, on="id", how="left_anti")
        return _without_refused(cosine_join.found(left, index, config.threshold, hub_vectors, max_pairs))[0]

    duplicates = _by("semantic", greedy_rounds.resolve(compared, greedy_rounds.MAX_PAIRS, search, materialise, "dedup.semantic"))
    return ByVectors(duplicates, refused, partial(cosine_join.pack, rows, index))


def _without_refused(pairs: DataFrame) -> tuple[DataFrame, DataFrame]:
    """PAIRS without the refused rows; and id, reason of these."""
    refused = F.col("refused").isNotNull()
    return pairs.where(~refused), pairs.where(refused).select(F.col("row").alias("id"), F.col("refused").alias("reason"))


def _by(method: str, removed: DataFrame) -> DataFrame:
    """The duplicates by one method, which kept all that they are duplicates of."""
    representative, named = F.col("duplicate_of").alias("representative"), F.lit(method).alias("method")
    return removed.select("id", "duplicate_of", representative, named, "score", "round")
