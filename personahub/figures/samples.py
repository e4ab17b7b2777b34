"""A few rows to look at: personas beside the text they came from, examples beside their persona, refused answers beside the reason."""

import json
from dataclasses import dataclass
from typing import Any

from pyspark.sql import functions as F

from personahub.storage.views import Tables

EXCERPT = 600  # characters of a text


@dataclass(frozen=True)
class PersonaSample:
    """A persona, the document it came from (None where it was imported) and how it relates to it."""

    persona: str
    relation: str
    document_id: str
    excerpt: str | None  # the first characters of the text


@dataclass(frozen=True)
class ExampleSample:
    """An example, by the schema of its task, and the persona that it was made with."""

    task: str
    persona: str
    content: Any


@dataclass(frozen=True)
class RefusedSample:
    """What a model answered, or a part of it, and why it became no row of the hub."""

    stage: str
    reason: str
    detail: str | None
    text: str | None


@dataclass(frozen=True)
class Samples:
    personas: tuple[PersonaSample, ...]
    examples: tuple[ExampleSample, ...]


def samples(table: Tables, n: int = 5) -> Samples:
    """Up to `n` hop-0 personas, each of another document, and an example of each task: always the same ones of the same tables."""
    personas = table("personas").where(F.col("hop") == 0).select(F.col("persona_id").alias("child_id"), "persona")
    linked = table("lineage").join(personas, on="child_id", how="inner")
    first = linked.groupBy("parent_id").agg(F.min(F.struct("child_id", "relation", "persona")).alias("first"))
    few = first.select("parent_id", "first.*").orderBy("child_id", "parent_id").limit(n)
    texts = table("documents").select(F.col("document_id").alias("parent_id"), F.substring("text", 1, EXCERPT).alias("excerpt"))
    shown = few.join(texts, on="parent_id", how="left").orderBy("child_id", "parent_id")

    names = table("personas").select("persona_id", "persona")
    one = F.min(F.struct("example_id", "persona_id", "content")).alias("one")
    examples = table("examples").groupBy("task").agg(one).select("task", "one.*")
    made = examples.join(names, on="persona_id", how="inner").orderBy("task")
    return Samples(
        personas=tuple(PersonaSample(row.persona, row.relation, row.parent_id, row.excerpt) for row in shown.collect()),
        examples=tuple(ExampleSample(row.task, row.persona, _content(row.content)) for row in made.collect()),
    )


def refused(table: Tables, n: int = 5) -> tuple[RefusedSample, ...]:
    """Up to `n` refused answers, or parts of them, each of another stage or reason: always the same ones of the same tables."""
    answers = table("rejects").where(F.col("completion_id").isNotNull())
    one = answers.groupBy("stage", "reason").agg(F.min(F.struct("reject_id", "detail", "raw")).alias("one"))
    few = one.select("stage", "reason", "one.*").orderBy("stage", "reason").limit(n)
    return tuple(RefusedSample(row.stage, row.reason, row.detail, row.raw) for row in few.orderBy("stage", "reason").collect())


def _content(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
