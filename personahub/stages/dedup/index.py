"""State that dedup keeps between runs: the settings of past decisions, the lexical index, rows that `forget` opens again."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub.config import Config
from personahub.errors import ConfigError
from personahub.stages.dedup import semantic
from personahub.storage.hub import Hub
from personahub.storage.views import duplicates_of_kind, taken_down


def scheme_of(config: Config) -> str:
    """All that two verdicts must share."""
    from personahub.dedup import jaccard_join

    words = jaccard_join.scheme(config.dedup.lexical)
    return f"{words}, {semantic.scheme(config)}" if config.dedup.semantic.enabled else words


def same_scheme(hub: Hub) -> bool:
    """Whether any verdicts stand, which all have one scheme. Raises ConfigError where they fell by other settings."""
    any_row = hub.store.table("lexical_index").select("scheme").head()
    if any_row is not None and any_row.scheme != scheme_of(hub.config):
        raise ConfigError(
            f"the hub's personas were compared by other settings of dedup than those of this configuration ({any_row.scheme!r}, and not "
            f"{scheme_of(hub.config)!r}): put these back, or pass --rebuild to decide on all personas again (vectors that were bought stay)"
        )
    return any_row is not None


def texts_of(personas: DataFrame) -> DataFrame:
    """What is compared: id, level, text."""
    return personas.select(F.col("persona_id").alias("id"), (F.col("hop") + 1).alias("level"), F.col("persona").alias("text"))


def indexed_ids(hub: Hub) -> DataFrame:
    """Those that the words kept: id."""
    return hub.store.table("lexical_index").select(F.explode("persona_ids").alias("id"))


def indexed(hub: Hub) -> DataFrame:
    """Keys and tokens of those that the words kept, as `jaccard_join.stored` makes them."""
    return hub.store.table("lexical_index").withColumnRenamed("persona_ids", "ids")


def duplicates_of(hub: Hub, removed: DataFrame) -> DataFrame:
    """removed: id, of personas that are taken down -> id of the others whose chain to their representative leads over one of them."""
    duplicates = duplicates_of_kind(hub.store.table, "persona")

    def naming(column: str, rows: DataFrame) -> DataFrame:
        return duplicates.join(rows.select(F.col("id").alias(column)), on=column, how="left_semi").select("id")

    theirs = naming("duplicate_of", removed).unionByName(naming("representative", removed)).distinct()
    theirs = theirs.unionByName(naming("duplicate_of", theirs)).distinct()  # a chain has three steps
    return theirs.join(removed, on="id", how="left_anti")


def reopen(hub: Hub) -> None:
    """After a takedown: remove what was taken down from the index, and the verdicts on its duplicates, which the next batch decides anew.

    The index changes before the verdicts, so that a run that is killed in between is finished by the next.
    """
    from personahub.dedup import jaccard_join  # here, because numba takes its time to import

    gone = taken_down(hub.store.table, "persona")
    if gone.isEmpty():
        return
    same_scheme(hub)
    again = hub.store.materialise(duplicates_of(hub, gone), "dedup.again")
    out = gone.unionByName(again)
    if not indexed_ids(hub).join(out, on="id", how="left_semi").isEmpty():
        left = indexed_ids(hub).join(out, on="id", how="left_anti")
        texts = texts_of(hub.store.table("personas")).join(left, on="id", how="left_semi")
        stored = jaccard_join.to_index(texts, hub.config.dedup.lexical).withColumn("scheme", F.lit(scheme_of(hub.config)))
        hub.store.replace(stored.withColumnRenamed("ids", "persona_ids"), "lexical_index")
    if not again.isEmpty():
        hub.store.remove("duplicates", "id", again, "t.kind = 'persona'")
    hub.store.drop_scratch("dedup.again")
