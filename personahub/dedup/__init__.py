"""Near-duplicates by exact Jaccard, MinHash and cosine: a row is removed only where a kept row within the threshold represents it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from personahub.config import LexicalDedup, SemanticDedup

if TYPE_CHECKING:
    from personahub.dedup.ivf_index import IvfIndex

__all__ = ["by_vectors", "by_words", "represented"]

Materialise = Callable[[DataFrame, str], DataFrame]
HUB_SHARE = 1 / 16  # at most, mostly: of a batch's keys, those that a row of the hub has


def represented(duplicates: DataFrame, later: DataFrame) -> DataFrame:
    """Duplicates, some of whose representatives were removed by a later step (id, representative), with the representatives of those."""
    following = later.select(F.col("id").alias("representative"), F.col("representative").alias("next"))
    followed = F.coalesce("next", "representative").alias("representative")
    joined = duplicates.join(following, on="representative", how="left")
    return joined.select(*(followed if name == "representative" else name for name in duplicates.columns))


def by_words(
    rows: DataFrame, config: LexicalDedup, materialise: Materialise, hub_texts: DataFrame | None = None
) -> tuple[DataFrame, DataFrame]:
    """Rows (id, level, text) -> (duplicates, rejects).

    id: strings or integers, distinct in `rows` (the caller checks it). level: int from 1 on, 1 + hop; rows are kept in the order of
    (level, id). text: string or null. materialise(frame, name) writes a frame once and returns what it wrote.

    duplicates: id, duplicate_of (the row that it was compared with), representative (the kept row that a chain of duplicate_of ends in),
    method (identical, exact, minhash, semantic), score (double, of id and duplicate_of), round (int); an id at most once. rejects: id,
    reason (empty_text, too_long, or what is wrong with a vector): rows that were not compared.

    hub_texts: rows of `jaccard_join.to_index` of one scheme, which come before all `rows` and are not decided again. `rows` is evaluated
    several times; the results are read from what was written.
    """
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
        blocks = jaccard_join.to_row_blocks(rows.join(out, on="id", how="left_anti"), config, bloom, bits)
        if hub_texts is not None:
            blocks = blocks.unionByName(jaccard_join.index_to_row_blocks(hub_texts, bloom, bits))
        return jaccard_join.similar_pairs(blocks, kind, config.threshold, max_pairs)

    removed = _by(config.method, greedy_rounds.resolve(near, jaccard_join.MAX_PAIRS, search, materialise, "dedup.lexical"))
    same = copies.select(F.col("row").alias("id"), F.col("earlier").alias("duplicate_of"), "score", F.lit(0).alias("round"))
    return represented(_by("identical", same), removed).unionByName(removed), refused


def _compared(
    rows: DataFrame, config: LexicalDedup, materialise: Materialise, hub_texts: DataFrame | None
) -> tuple[DataFrame, DataFrame, DataFrame]:
    """PAIRS of copies, and of near texts; and id, reason of the rows that were not compared."""
    from personahub.dedup import jaccard_join, shared_keys

    if hub_texts is None:
        bloom = shared_keys.of_texts(rows, config, materialise)
        blocks = jaccard_join.to_row_blocks(rows, config, bloom, shared_keys.part_bits(bloom))
    else:
        keys = shared_keys.all_keys(rows, config, materialise, "dedup.lexical.keys")
        bloom = shared_keys.of_keys(keys)
        bits = shared_keys.part_bits(bloom, HUB_SHARE)
        hub = materialise(jaccard_join.index_to_row_blocks(hub_texts, bloom, bits), "dedup.lexical.met")
        blocks = jaccard_join.to_row_blocks(rows, config, shared_keys.of_repeated(keys, hub), bits).unionByName(hub)
    pairs = jaccard_join.similar_pairs(blocks, rows.schema["id"].dataType, config.threshold, jaccard_join.MAX_PAIRS)
    compared, refused = _without_refused(materialise(pairs, "dedup.lexical.found"))
    return compared.where("identical"), compared.where(~F.col("identical")), refused


def by_vectors(
    rows: DataFrame,
    config: SemanticDedup,
    materialise: Materialise,
    hub_vectors: DataFrame | None = None,
    index: "IvfIndex | None" = None,
) -> tuple[DataFrame, DataFrame]:
    """The same by vectors: rows (id, level, vector: array of floats) -> (duplicates, rejects).

    hub_vectors: rows of `cosine_join.pack`, all by `index`, which is `ivf_index.prepare` of all vectors, if the caller has made it.
    """
    from personahub.dedup import cosine_join, greedy_rounds, ivf_index

    index = index or ivf_index.prepare(rows, config)
    pairs = cosine_join.similar_pairs(rows, index, config.threshold, hub_vectors)
    compared, refused = _without_refused(materialise(pairs, "dedup.semantic.found"))

    def search(removed: DataFrame, pending: DataFrame, max_pairs: int) -> DataFrame:
        left = rows.join(removed, on="id", how="left_anti")
        return _without_refused(cosine_join.similar_pairs(left, index, config.threshold, hub_vectors, max_pairs))[0]

    removed = greedy_rounds.resolve(compared, greedy_rounds.MAX_PAIRS, search, materialise, "dedup.semantic")
    return _by("semantic", removed), refused


def _without_refused(pairs: DataFrame) -> tuple[DataFrame, DataFrame]:
    """PAIRS without the refused rows; and id, reason of these."""
    refused = F.col("refused").isNotNull()
    return pairs.where(~refused), pairs.where(refused).select(F.col("row").alias("id"), F.col("refused").alias("reason"))


def _by(method: str, removed: DataFrame) -> DataFrame:
    """The duplicates by one method, which kept all that they are duplicates of."""
    representative, named = F.col("duplicate_of").alias("representative"), F.lit(method).alias("method")
    return removed.select("id", "duplicate_of", representative, named, "score", "round")
