"""The stage `dedup`: the personas without a verdict are compared with each other and with all those kept before (paper, 2.3).

1. New are the personas without a verdict: no duplicate, not taken down, not refused, and without keys.
2. They are compared with the keys of those that the words kept; these stand above them, so no verdict falls twice.
   With dedup.semantic the vectors of those that the words keep now are bought and compared as well (semantic.py).
3. The verdicts are held in one commit. From there on they stand: a run that dies while they go into the tables is finished by the next.
4. Duplicates and rejects are inserted, then the keys of the personas that the words kept: what the next batch is compared with.
   They stay even if the vectors removed their persona: no vector is bought for what it already represents.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial, reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub import embeddings, ids, schemas
from personahub.config import Config, LexicalDedup
from personahub.dedup import by_words, represented
from personahub.errors import ConfigError
from personahub.rows import Materialise, map_rows
from personahub.schemas import RAW_CHARACTERS
from personahub.stages.dedup import examples, semantic
from personahub.stages.dedup.index import indexed, indexed_ids, reopen, same_scheme, scheme_of, texts_of
from personahub.stages.stage import ModelUse, Rounds, Stage, nothing, without_purchases
from personahub.storage.hub import Estimate, Hub
from personahub.storage.views import duplicates_of_kind, not_kept, without
from personahub.text import storable

NAME = "dedup"
TOKENS_OF_A_PERSONA = 40  # for an upper bound: some 30 words
COUNTS = ("compared", "identical", "lexical", "kept", "rejects")
COUNTS_WITH_VECTORS = ("compared", "identical", "lexical", "semantic", "kept", "rejects", "vectors")


def check(config: Config) -> None:
    """Raises ConfigError for settings that the stage can not work with."""
    if config.dedup.semantic.enabled:
        embeddings.check(config, "dedup.semantic.enabled")
    try:
        scheme_of(config)
    except ValueError as error:
        raise ConfigError(f"dedup.lexical: {error}") from None


def rounds(hub: Hub, rebuild: bool = False) -> Rounds:
    """Decide on the new personas. With `rebuild`, all verdicts on personas are taken back first, and each is decided again.

    Returns how many were compared, are identical to another, near one (lexical, semantic), kept, and rejects. Raises ConfigError where
    the hub's verdicts were decided by other settings: those by two measures would not fit together. With dedup.semantic also what ends a
    purchase; then nothing is decided.
    """
    check(hub.config)
    if rebuild:
        _take_back(hub)
    compared = same_scheme(hub)
    reopen(hub)
    with hub.store.scope(NAME) as materialise:
        new = materialise(_new(hub), "new")
        counts = dict.fromkeys(COUNTS_WITH_VECTORS if hub.config.dedup.semantic.enabled else COUNTS, 0)
        if new.isEmpty():
            return counts
        (duplicates, rejects), decided = _by_words(hub, new, compared, materialise), None
        if hub.config.dedup.semantic.enabled:
            left = _left(new, duplicates, rejects, materialise)
            yield embeddings.batch_of(hub, left, NAME, "vectors")
            decided = semantic.decide(hub, left, materialise)
            earlier = duplicates_of_kind(hub.store.table, "persona")  # what vectors removed keeps its keys
            later = decided.duplicates.select("id", "representative").unionByName(earlier.select("id", "representative"))
            duplicates = represented(duplicates, later).unionByName(decided.duplicates)
            rejects = rejects.unionByName(decided.rejects)
        counts |= _counts(new, duplicates, rejects)
        store, settings, scheme = hub.store, hub.config.dedup.lexical, scheme_of(hub.config)
        store.hold(_verdicts(new, duplicates, rejects, settings, scheme), NAME)
        _insert(hub, duplicates, rejects, new, settings, scheme, store.append)
        if decided is not None:
            semantic.remember(hub, decided)
        return counts


def estimate(hub: Hub) -> list[Estimate]:
    """What `rounds` would buy now: the words decide first, which is free, as vectors are bought only of the personas that they keep."""
    check(hub.config)
    if not hub.config.dedup.semantic.enabled:
        return []
    compared = same_scheme(hub)
    with hub.store.scope("estimate") as materialise:  # no lease is held: a run may be at work on tables of the other names
        new = materialise(_new(hub), "new")
        left = _left(new, *_by_words(hub, new, compared, materialise), materialise)
        return embeddings.estimate(hub, embeddings.batch_of(hub, left, NAME, "vectors"))


def bound(hub: Hub, incoming: int, rebuild: bool = False) -> tuple[list[Estimate], int]:
    """A vector for each new persona, and for each that may come; with `rebuild` for all."""
    if not hub.config.dedup.semantic.enabled:
        return [], incoming
    there = hub.store.table("personas") if rebuild else _new(hub)
    return vectors_at_most(hub, there.count() + incoming), incoming


def vectors_at_most(hub: Hub, texts: int) -> list[Estimate]:
    """What the vectors of so many personas cost; nothing where none are bought."""
    settings = hub.config.dedup.semantic
    if not settings.enabled or settings.model is None or not texts:
        return []
    model, tokens, calls = hub.config.models[settings.model], texts * TOKENS_OF_A_PERSONA, -(-texts // settings.texts_per_request)
    cost, note = model.cost_usd(tokens, 0), "at most so many"
    return [Estimate(NAME, "vectors", calls, 0, tokens, 0, cost, model.model, model.address, note, texts=texts)]


def models(config: Config) -> Iterator[ModelUse]:
    """The model of vectors, if they are bought."""
    settings = config.dedup.semantic
    if settings.enabled and settings.model is not None:
        yield ModelUse(settings.model, answers=False)


def progress(hub: Hub) -> Iterator[str]:
    """Personas without a decision."""
    waiting = _new(hub).count()
    if waiting:
        yield f"{waiting:,} personas are not compared yet: run {NAME}"


def variant(rebuild: bool = False, of: str = "personas") -> Stage:
    """The stage by the options of `personahub run dedup`. of: personas or examples, what it compares."""
    if of == "examples":
        return replace(STAGE, rounds=without_purchases(examples.run), models=nothing, bound=lambda hub, incoming: ([], incoming))
    return replace(STAGE, rounds=partial(rounds, rebuild=True), bound=partial(bound, rebuild=True)) if rebuild else STAGE


def _by_words(hub: Hub, new: DataFrame, compared: bool, materialise: Materialise) -> tuple[DataFrame, DataFrame]:
    """compared: whether verdicts stand already. The rejects: id, reason, detail."""
    duplicates, rejects = by_words(new, hub.config.dedup.lexical, materialise, indexed(hub) if compared else None)
    return duplicates, rejects.withColumn("detail", F.lit(None).cast("string"))


def _left(new: DataFrame, duplicates: DataFrame, rejects: DataFrame, materialise: Materialise) -> DataFrame:
    return materialise(without(new, "id", duplicates.select("id").unionByName(rejects.select("id"))), "left")


def _new(hub: Hub) -> DataFrame:
    """id, level, text."""
    table = hub.store.table
    return without(texts_of(table("personas")), "id", not_kept(table).unionByName(indexed_ids(hub)))


def _verdicts(new: DataFrame, duplicates: DataFrame, refused: DataFrame, settings: LexicalDedup, scheme: str) -> DataFrame:
    """What is held: a row for each new persona (nothing but its id), one more for each duplicate, one more for each reject."""
    columns = {
        "id": "string",
        "duplicate_of": "string",
        "representative": "string",
        "method": "string",
        "score": "double",
        "round": "int",
    }
    columns |= {"reason": "string", "detail": "string"}

    def part(rows: DataFrame) -> DataFrame:
        # typed nulls: of a column that `unionByName` adds the embedded engine forgets the type
        given = [F.col(name) if name in rows.columns else F.lit(None).cast(kind).alias(name) for name, kind in columns.items()]
        return rows.select(*given, F.lit(settings.model_dump_json()).alias("settings"), F.lit(scheme).alias("scheme"))

    return part(new).unionByName(part(duplicates)).unionByName(part(refused))


def _held(held: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Duplicates, and rejects (id, reason, detail)."""
    return held.where(F.col("method").isNotNull()), held.where(F.col("reason").isNotNull()).select("id", "reason", "detail")


def _counts(new: DataFrame, duplicates: DataFrame, refused: DataFrame) -> dict[str, int]:
    is_copy = F.when(F.col("method").isin("identical", "semantic"), F.col("method")).otherwise("lexical")
    parts = [
        new.select(F.lit("compared").alias("of")),
        duplicates.select(is_copy.alias("of")),
        refused.select(F.lit("rejects").alias("of")),
    ]
    counts = {row.of: row["count"] for row in reduce(DataFrame.unionByName, parts).groupBy("of").count().collect()}
    kept = counts["compared"] - sum(count for of, count in counts.items() if of != "compared")
    return counts | {"kept": kept}


def _insert(
    hub: Hub,
    duplicates: DataFrame,
    refused: DataFrame,
    new: DataFrame,
    settings: LexicalDedup,
    scheme: str,
    insert: Callable[[DataFrame, str], Any],
) -> None:
    """The verdicts that are held, into their tables. new: id, level, text of those decided on that have no keys."""
    from personahub.dedup import jaccard_join  # here, because numba takes its time to import

    duplicates = duplicates.withColumn("kind", F.lit("persona")).select(*schemas.DUPLICATES.names)
    insert(duplicates, "duplicates")
    hub.store.insert_new(_rejects(new.join(refused, on="id", how="inner"), hub.run_id), "rejects")
    gone = duplicates.where(F.col("method") != "semantic").select("id").unionByName(refused.select("id"))
    keys = jaccard_join.to_index(new.join(gone, on="id", how="left_anti"), settings).withColumn("scheme", F.lit(scheme))
    hub.store.append(keys.withColumnRenamed("ids", "persona_ids"), "lexical_index")
    hub.store.release(NAME)


def _rejects(refused: DataFrame, run_id: str) -> DataFrame:
    """Rows (id, text, reason, detail) -> REJECTS."""

    def reject(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        yield {
            "reject_id": ids.reject_id(NAME, row["id"], None, row["reason"]),
            "stage": NAME,
            "source_id": row["id"],
            "reason": row["reason"],
            "detail": row["detail"],
            "raw": storable(row["text"], RAW_CHARACTERS),
            "run_id": run_id,
        }

    return map_rows(refused, reject, schemas.REJECTS)


def finish(hub: Hub) -> None:
    """The verdicts of a run that died are inserted as they fell, by the settings they fell by."""
    held = hub.store.held(NAME)
    if held is None:
        return
    first = held.select("settings", "scheme").head()
    if first is None:  # released where nothing can be removed
        return
    settings = LexicalDedup.model_validate_json(first.settings)
    texts = texts_of(hub.store.table("personas"))
    texts = texts.join(held.select("id"), on="id", how="left_semi").join(indexed_ids(hub), on="id", how="left_anti")
    _insert(hub, *_held(held), texts, settings, first.scheme, hub.store.insert_new)


def _take_back(hub: Hub) -> None:
    """All verdicts on personas. The keys go last: as long as they are there, a run without `rebuild` refuses to go on."""
    hub.store.delete("duplicates", "kind = 'persona'")
    hub.store.delete("rejects", f"stage = '{NAME}'")
    hub.store.delete("vector_centroids")
    hub.store.delete("vector_index")
    hub.store.delete("lexical_index")


STAGE = Stage(
    name=NAME,
    about="removes near-duplicate personas: by their words, and with `dedup.semantic` by vectors, which it buys",
    writes=("duplicates", "rejects", "lexical_index", "vector_centroids", "vector_index"),
    rounds=rounds,
    finish=finish,
    check=check,
    models=models,
    estimate=estimate,
    bound=bound,
    progress=progress,
)
