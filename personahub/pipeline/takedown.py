"""Takedown: documents or personas, and all that derives only from them.

1. Tombstones, in one commit: from there on nothing of them is asked for, drawn, compared or shown as kept, and nothing of them is bought
   again. A text that is found again by another way keeps its tombstone.
2. Whom a persona among them kept out is open again: `run dedup` decides on these anew.
3. With `purge` their text goes from every table, and the files of earlier versions with it.

A run that dies within is made good by the same command: each step does only what is still to be done.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub import personas, synthesis
from personahub.errors import InputError
from personahub.pipeline import dedup, hops
from personahub.pipeline.hub import Hub
from personahub.pipeline.paid import OF_PERSONAS, PAID, finish
from personahub.pipeline.standing import kept_out_by, reopen, same_scheme
from personahub.pipeline.synthesize import conversations
from personahub.report.descent import Materialise, only_from

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
    scratch: list[str] = []

    def materialise(rows: DataFrame, name: str) -> DataFrame:
        scratch.append(f"forget.{name}")
        return hub.store.materialise(rows, f"forget.{name}")

    try:
        documents, people = _named(hub, names)
        named = documents.unionByName(people)
        gone = materialise(only_from(hub.store.table, named, materialise), "gone")
        of_gone = hub.store.table("examples").join(gone.select(F.col("id").alias("persona_id")), on="persona_id", how="left_semi")
        examples = of_gone.select(F.col("example_id").alias("id"))
        found = Forgotten(documents.count(), gone.count(), examples.count(), kept_out_by(hub, gone).count())
        if dry_run:
            return found
        why = F.when(F.col("id").isin(list(names)), NAMED).otherwise(DERIVED).alias("reason")
        kinds = (("document", documents), ("persona", gone), ("example", examples))
        marks = [ids.select("id", F.lit(kind).alias("kind"), why) for kind, ids in kinds]
        hub.store.insert_new(reduce(DataFrame.unionByName, marks), "tombstones")
        reopen(hub)
        purged = _purge(hub, materialise(named.unionByName(gone).distinct(), "sources"), examples, materialise) if purge else 0
        return Forgotten(found.documents, found.personas, found.examples, found.reopened, purged)
    finally:
        hub.store.drop_scratch(*scratch)


def _finish(hub: Hub) -> None:
    """Rows on their way into the tables get there first: what derives from them would come later, and stay."""
    for stage, paid in PAID.items():
        finish(hub, stage, paid.split, paid.tables)
    finish(hub, hops.STAGE, personas.split, OF_PERSONAS)
    finish(hub, conversations.HELD, PAID[synthesis.STAGE].split, PAID[synthesis.STAGE].tables)
    dedup.finish(hub)


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
    store, answers = hub.store, materialise(_answers(hub, gone), "answers")
    texts = (
        ("documents", "document_id", gone, ("text", "url")),
        ("personas", "persona_id", gone, ("persona",)),
        ("completions", "completion_id", answers, ("text", "error_message")),
        ("requests", "source_id", gone, ("variables",)),
        ("rejects", "source_id", gone, ("raw", "detail")),
        ("rejects", "completion_id", answers, ("raw", "detail")),
        ("examples", "example_id", examples, ("content",)),
        ("verdicts", "example_id", examples, ("note",)),
        ("embeddings", "persona_id", gone, ("vector", "error_message")),
    )
    purged = sum(store.blank(*each) for each in texts)
    store.delete("packed_vectors")  # made again from `embeddings`
    for name in sorted({*(table for table, *_ in texts), "lexical_keys", "packed_vectors"}):
        store.vacuum(name)
    return purged


def _answers(hub: Hub, gone: DataFrame) -> DataFrame:
    """Id of the completions that hold text of theirs: that nobody else asked for, or that one of them was made of."""
    table = hub.store.table
    asked = [
        table("completions").select("completion_id", "source_id"),
        table("lineage").select("completion_id", F.col("parent_id").alias("source_id")),
        table("rejects").select("completion_id", "source_id"),
        table("examples").select("completion_id", F.col("persona_id").alias("source_id")),
        table("requests").select("completion_id", "source_id"),
    ]
    who = reduce(DataFrame.unionByName, asked).where(F.col("completion_id").isNotNull())
    sources = gone.select(F.col("id").alias("source_id"))
    theirs = who.join(sources, on="source_id", how="left_semi").select("completion_id")
    others = who.join(sources, on="source_id", how="left_anti").select("completion_id")
    made = table("lineage").join(gone.select(F.col("id").alias("child_id")), on="child_id", how="left_semi")
    found = theirs.join(others, on="completion_id", how="left_anti").unionByName(made.select("completion_id"))
    return found.where(F.col("completion_id").isNotNull()).select(F.col("completion_id").alias("id")).distinct()
