"""The stage `dedup`: the personas that nobody has decided on are compared with each other and with all those kept before (paper, 2.3).

1. New are the personas without a verdict: no duplicate, not taken down, not refused, and without keys.
2. They are compared with the keys of those that the words kept; these stand above them, so no verdict falls twice.
3. The verdicts are held in one commit. From there on they stand: a run that dies while they go into the tables is finished by the next.
4. Duplicates and rejects are inserted, then the keys of the survivors are appended: what the next batch is compared with.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub import ids, schemas
from personahub.config import Config, LexicalDedup
from personahub.dedup import deduplicate
from personahub.errors import ConfigError
from personahub.pipeline.hub import Hub
from personahub.rows import map_rows, storable

STAGE = "dedup"
RAW_CHARACTERS = 2000


def check(config: Config) -> None:
    """Raises ConfigError for settings that the stage can not work with."""
    if config.dedup.semantic.enabled:
        raise ConfigError(
            "dedup.semantic.enabled is not built yet for the hub, which would have to buy embeddings: "
            "set it to false, or compare vectors of your own with `personahub dedup --vectors`"
        )
    try:
        _scheme(config.dedup.lexical)
    except ValueError as error:
        raise ConfigError(f"dedup.lexical: {error}") from None


def run(hub: Hub, rebuild: bool = False) -> dict[str, int]:
    """Decide on the new personas. With `rebuild`, all verdicts on personas are taken back first, and each falls again.

    Returns how many were compared, are identical to another, near one (lexical), kept, and rejects. Raises ConfigError where the hub's keys
    were made by other settings: verdicts by two measures would not fit together.
    """
    check(hub.config)
    _finish(hub)
    if rebuild:
        _take_back(hub)
    settings, store = hub.config.dedup.lexical, hub.store
    if not store.table("lexical_keys").where(F.col("scheme") != _scheme(settings)).isEmpty():
        raise ConfigError(
            "the hub's personas were compared by other settings of dedup.lexical than those of this configuration: put these back, or "
            "pass --rebuild to decide on all personas again"
        )
    names: list[str] = []

    def materialise(rows: DataFrame, name: str) -> DataFrame:
        names.append(name)
        return store.materialise(rows, name)

    new = materialise(_new(hub), "dedup.new")
    counts = dict.fromkeys(("compared", "identical", "lexical", "kept", "rejects"), 0)
    if not new.isEmpty():
        duplicates, refused = deduplicate(
            new, hub.config.dedup, materialise, _standing(hub) if store.exists("lexical_keys") else None
        )
        counts = _counts(new, duplicates, refused)
        store.hold(_verdicts(new, duplicates, refused, settings), STAGE)
        _insert(hub, duplicates, refused, new, settings, store.append)
    store.drop_scratch(*names)
    return counts


def _new(hub: Hub) -> DataFrame:
    """id, level, text."""
    table = hub.store.table
    of_personas = F.col("kind") == "persona"
    decided = [
        table("duplicates").where(of_personas).select("id"),
        table("tombstones").where(of_personas).select("id"),
        table("rejects").where(F.col("stage") == STAGE).select(F.col("source_id").alias("id")),
        table("lexical_keys").where(F.col("key").bitwiseAND(1) == 1).select(F.col("persona_id").alias("id")),  # one row of each
    ]
    texts = _texts(table("personas"))
    return texts.join(reduce(DataFrame.unionByName, decided), on="id", how="left_anti")


def _texts(personas: DataFrame) -> DataFrame:
    """What is compared: id, level, text."""
    return personas.select(F.col("persona_id").alias("id"), (F.col("hop") + 1).alias("level"), F.col("persona").alias("text"))


def _standing(hub: Hub) -> DataFrame:
    """The keys of those that the words kept, without those taken down."""
    gone = hub.store.table("tombstones").where(F.col("kind") == "persona").select(F.col("id").alias("persona_id"))
    return hub.store.table("lexical_keys").join(gone, on="persona_id", how="left_anti")


def _verdicts(new: DataFrame, duplicates: DataFrame, refused: DataFrame, settings: LexicalDedup) -> DataFrame:
    """What is held: a row for each new persona (nothing but its id), one more for each duplicate, one more for each reject."""
    columns = {"id": "string", "kept_by": "string", "method": "string", "score": "double", "round": "int", "reason": "string"}

    def part(rows: DataFrame) -> DataFrame:
        given = [F.col(name) if name in rows.columns else F.lit(None).cast(kind).alias(name) for name, kind in columns.items()]
        return rows.select(*given, F.lit(settings.model_dump_json()).alias("settings"))

    return part(new).unionByName(part(duplicates)).unionByName(part(refused))


def _counts(new: DataFrame, duplicates: DataFrame, refused: DataFrame) -> dict[str, int]:
    is_copy = F.when(F.col("method") == "identical", "identical").otherwise("lexical")
    parts = [
        new.select(F.lit("compared").alias("of")),
        duplicates.select(is_copy.alias("of")),
        refused.select(F.lit("rejects").alias("of")),
    ]
    counts = dict.fromkeys(("compared", "identical", "lexical", "kept", "rejects"), 0)
    counts |= {row.of: row["count"] for row in reduce(DataFrame.unionByName, parts).groupBy("of").count().collect()}
    counts["kept"] = counts["compared"] - counts["identical"] - counts["lexical"] - counts["rejects"]
    return counts


def _insert(
    hub: Hub,
    duplicates: DataFrame,
    refused: DataFrame,
    new: DataFrame,
    settings: LexicalDedup,
    insert: Callable[[DataFrame, str], Any],
) -> None:
    """The verdicts that are held, into their tables. new: id, level, text of those decided on that have no keys yet."""
    from personahub.dedup import lexical  # here, because numba takes its time to import

    duplicates = duplicates.withColumn("kind", F.lit("persona")).select(*schemas.DUPLICATES.names)
    insert(duplicates, "duplicates")
    hub.store.insert_new(_rejects(new.join(refused, on="id", how="inner"), hub.run_id), "rejects")
    survivors = new.join(duplicates.select("id").unionByName(refused.select("id")), on="id", how="left_anti")
    keyed = lexical.keyed(survivors, settings).withColumn("scheme", F.lit(lexical.scheme(settings)))
    hub.store.append(keyed.withColumnRenamed("id", "persona_id"), "lexical_keys")
    hub.store.release(STAGE)


def _rejects(refused: DataFrame, run_id: str) -> DataFrame:
    """Rows (id, text, reason) -> REJECTS."""

    def reject(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        yield {
            "reject_id": ids.reject_id(STAGE, row["id"], None, row["reason"]),
            "stage": STAGE,
            "source_id": row["id"],
            "reason": row["reason"],
            "raw": storable(row["text"], RAW_CHARACTERS),
            "run_id": run_id,
        }

    return map_rows(refused, reject, schemas.REJECTS)


def _finish(hub: Hub) -> None:
    """The verdicts of a run that died are inserted as they fell, by the settings they fell by."""
    held = hub.store.held(STAGE)
    if held is None:
        return
    first = held.select("settings").head()
    if first is None:  # released where nothing can be removed
        return
    settings = LexicalDedup.model_validate_json(first.settings)
    keys = hub.store.table("lexical_keys").select(F.col("persona_id").alias("id"))
    texts = _texts(hub.store.table("personas"))
    texts = texts.join(held.select("id"), on="id", how="left_semi").join(keys, on="id", how="left_anti")
    duplicates, refused = held.where(F.col("method").isNotNull()), held.where(F.col("reason").isNotNull())
    _insert(hub, duplicates, refused.select("id", "reason"), texts, settings, hub.store.insert_new)


def _take_back(hub: Hub) -> None:
    """All verdicts on personas. The keys go last: as long as they are there, a run without `rebuild` refuses to go on."""
    hub.store.delete("duplicates", "kind = 'persona'")
    hub.store.delete("rejects", f"stage = '{STAGE}'")
    hub.store.delete("lexical_keys")


def _scheme(settings: LexicalDedup) -> str:
    from personahub.dedup import lexical

    return lexical.scheme(settings)
