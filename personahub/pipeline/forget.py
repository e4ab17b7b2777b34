"""Takedown: documents or personas, and all that derives only from them.

1. Tombstones, in one commit: from there on nothing of them is asked for, drawn, compared or shown as kept, and nothing of them is bought
   again. A text that is found again by another way keeps its tombstone.
2. A persona that is a duplicate of one among them is decided again by `run dedup`.
3. With `purge` their text goes from every table, and the files of earlier versions with it.

A run that was killed is completed by repeating the command: each step does only what is still to be done.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub.errors import InputError
from personahub.figures.provenance import only_from
from personahub.rows import Materialise
from personahub.stages import STAGES, runner
from personahub.stages.dedup.index import duplicates_of, reopen, same_scheme
from personahub.stages.stage import TextColumns
from personahub.storage.hub import Hub

OF_ALL_STAGES = (
    TextColumns("completions", "completion_id", ("text", "error_message"), "completion"),
    TextColumns("requests", "source_id", ("variables",)),
    TextColumns("rejects", "source_id", ("raw", "detail")),
    TextColumns("rejects", "completion_id", ("raw", "detail"), "completion"),
    TextColumns("embeddings", "text_id", ("vector", "error_message")),
)
NAMED, DERIVED = "named in a takedown", "derives only from what was taken down"


@dataclass(frozen=True)
class Forgotten:
    """How many documents, personas and examples go; reopened: personas that one of these kept out; purged: rows that lost their text."""

    documents: int
    personas: int
    examples: int
    reopened: int
    purged: int = 0


def forget(hub: Hub, names: Sequence[str], *, dry_run: bool = False, purge: bool = False) -> Forgotten:
    """names: ids of documents or personas. What was taken down before counts again, and nothing is done to it twice.

    Raises InputError for an unknown id, and ConfigError where dedup's verdicts fell by other settings: nothing is done then.
    """
    same_scheme(hub)
    if not dry_run:
        _finish(hub)
    with hub.store.scope("forget") as materialise:
        documents, people = _named(hub, names)
        named = documents.unionByName(people)
        gone = materialise(only_from(hub.store.table, named, materialise), "gone")
        of_gone = hub.store.table("examples").join(gone.select(F.col("id").alias("persona_id")), on="persona_id", how="left_semi")
        examples = of_gone.select(F.col("example_id").alias("id"))
        found = Forgotten(documents.count(), gone.count(), examples.count(), duplicates_of(hub, gone).count())
        if dry_run:
            return found
        why = F.when(F.col("id").isin(list(names)), NAMED).otherwise(DERIVED).alias("reason")
        kinds = (("document", documents), ("persona", gone), ("example", examples))
        marks = [ids.select("id", F.lit(kind).alias("kind"), why) for kind, ids in kinds]
        hub.store.insert_new(reduce(DataFrame.unionByName, marks), "tombstones")
        reopen(hub)
        purged = _purge(hub, materialise(named.unionByName(gone).distinct(), "sources"), examples, materialise) if purge else 0
        return Forgotten(found.documents, found.personas, found.examples, found.reopened, purged)


def _finish(hub: Hub) -> None:
    """Insert rows on their way into the tables first: what derives from them would come later, and stay."""
    for stage in STAGES.values():
        runner.finish(hub, stage)


def _named(hub: Hub, names: Sequence[str]) -> tuple[DataFrame, DataFrame]:
    """The ids that are documents', refused ones included, and those that are personas': id. Raises InputError."""
    table, wanted = hub.store.table, list(dict.fromkeys(names))
    refused = table("rejects").where(F.col("stage") == "documents").select(F.col("source_id").alias("id"))
    documents = table("documents").select(F.col("document_id").alias("id")).unionByName(refused)
    documents = documents.where(F.col("id").isin(wanted)).distinct()
    personas = table("personas").select(F.col("persona_id").alias("id")).where(F.col("id").isin(wanted))
    known = {row.id for row in documents.unionByName(personas).collect()}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        more = f" (and {len(unknown) - 1} others)" if len(unknown) > 1 else ""
        raise InputError(
            f"the hub has no document and no persona {unknown[0]!r}{more}: give ids as the tables documents and personas have them"
        )
    return documents, personas


def _purge(hub: Hub, gone: DataFrame, examples: DataFrame, materialise: Materialise) -> int:
    """gone: id, of documents and personas. Nulls their text everywhere, removes the files that held it; returns how many rows lost some."""
    sources = gone.unionByName(examples).distinct()  # what was asked about examples, too
    store, answers = hub.store, materialise(_answers(hub, sources), "answers")
    ids = {"source": gone, "completion": answers, "example": examples}
    texts = [*OF_ALL_STAGES, *(one for stage in STAGES.values() for one in stage.texts)]
    purged = sum(store.blank(one.table, one.key, ids[one.of], one.columns) for one in texts)
    store.delete("vector_index")  # made again from `embeddings`
    for name in sorted({*(one.table for one in texts), "lexical_index", "vector_index"}):
        store.vacuum(name)
    for stage in STAGES:
        store.vacuum_held(stage)
    return purged


def _answers(hub: Hub, gone: DataFrame) -> DataFrame:
    """Id of the completions that hold their text: no other source asked for them, or one of them was made of it."""
    table = hub.store.table
    asked = [
        table("completions").select("completion_id", "source_id"),
        table("lineage").select("completion_id", F.col("parent_id").alias("source_id")),
        table("rejects").select("completion_id", "source_id"),
        table("examples").select("completion_id", F.col("persona_id").alias("source_id")),
        table("requests").select("completion_id", "source_id"),
        table("solutions").select("completion_id", F.col("example_id").alias("source_id")),
    ]
    who = reduce(DataFrame.unionByName, asked).where(F.col("completion_id").isNotNull())
    sources = gone.select(F.col("id").alias("source_id"))
    theirs = who.join(sources, on="source_id", how="left_semi").select("completion_id")
    others = who.join(sources, on="source_id", how="left_anti").select("completion_id")
    made = table("lineage").join(gone.select(F.col("id").alias("child_id")), on="child_id", how="left_semi")
    found = theirs.join(others, on="completion_id", how="left_anti").unionByName(made.select("completion_id"))
    return found.where(F.col("completion_id").isNotNull()).select(F.col("completion_id").alias("id")).distinct()
