"""Personas out of answers: what the stages that make personas, from texts and from personas, do alike. Pure.

An answer lists personas, each with the relation it was asked for; each becomes one row, a persona or a reject with its reason.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from personahub import filters, ids, schemas
from personahub.config import PersonaFilters
from personahub.filters import Shown
from personahub.llm import json_answers
from personahub.schemas import RAW_CHARACTERS
from personahub.text import printable, storable

WRITES = ("personas", "lineage", "rejects")  # what `split` gives the rows of

_STRING, _INT = T.StringType(), T.IntegerType()
PARSED = T.StructType(
    [
        T.StructField("stage", _STRING),
        T.StructField("source_id", _STRING),  # the document, the persona, or the line of an imported file
        T.StructField("completion_id", _STRING),  # null for an imported persona
        T.StructField("position", _INT),  # in the answer
        T.StructField("relation", _STRING),
        T.StructField("persona_id", _STRING),
        T.StructField("persona", _STRING),
        T.StructField("language", _STRING),
        T.StructField("hop", _INT),
        T.StructField("reason", _STRING),  # null: a persona; else a reject
        T.StructField("detail", _STRING),
        T.StructField("raw", _STRING),
        T.StructField("reject_id", _STRING),
    ]
)


@dataclass(frozen=True, slots=True)
class Item:
    """One persona of an answer (reason is None), or one reject."""

    position: int
    relation: str | None = None
    persona: str | None = None
    language: str | None = None
    reason: str | None = None
    detail: str | None = None
    raw: str | None = None


def parse_answer(
    text: str | None,
    error_kind: str | None,
    error_message: str | None,
    asked: Sequence[str],
    shown: Shown,
    settings: PersonaFilters,
    schema: Mapping[str, Any] | None = None,
) -> list[Item]:
    """One final completion -> its personas and rejects, at least one item. Never raises.

    asked: the relations; shown: what they are relations to, and the prompt; schema: the one that was asked for, which tells the answer
    from what a model drafted before it. Reasons of rejects: the completion's error_kind; truncated (it ends within its
    JSON); invalid (no JSON, or of another shape); no_personas; per persona invalid, unknown_relation or a reason of
    filters.persona_reason; missing_relation.
    """
    prefers = None if schema is None else lambda value: json_answers.check(schema)(value)  # compiled where it is needed
    value, reason, detail = json_answers.read(text, error_kind, error_message, prefers=prefers)
    if reason is not None:
        return [_refused(0, reason, detail, text)]
    listed = value.get("personas") if isinstance(value, dict) else value
    if not isinstance(listed, list):
        return [_refused(0, "invalid", 'the answer has no list "personas"', text)]
    if not listed:
        return [_refused(0, "no_personas", "the list is empty", text)]
    items = [_item(position, entry, asked, shown, settings) for position, entry in enumerate(listed)]
    missing = [relation for relation in asked if relation not in {item.relation for item in items}]
    for position, relation in enumerate(missing, start=len(items)):
        items.append(_refused(position, "missing_relation", f"asked for {relation}, which the answer leaves out", text, relation))
    return items


def split(parsed: DataFrame, run_id: str) -> tuple[DataFrame, DataFrame, DataFrame]:
    """PARSED -> (personas, lineage, rejects), each by its table's schema and distinct by its key.

    A persona that several sources or relations lead to is one row, with the surface form of its first discovery: least hop,
    completion_id, position (and source_id, for imported ones).
    """
    good = parsed.where(F.col("reason").isNull())
    asked = F.coalesce("completion_id", F.lit("")).alias("completion_id")  # engines differ in where a null in a struct stands
    first = F.min(F.struct("hop", asked, "position", "source_id", "persona", "language")).alias("first")
    personas = good.groupBy("persona_id").agg(first).select("persona_id", "first.persona", "first.hop", "first.language")
    lineage = good.select(
        F.col("persona_id").alias("child_id"), F.col("source_id").alias("parent_id"), "relation", "completion_id"
    )
    rejects = parsed.where(F.col("reason").isNotNull()).withColumn("run_id", F.lit(run_id))
    return (
        personas.select(*schemas.PERSONAS.names),
        lineage.dropDuplicates().select(*schemas.LINEAGE.names),
        rejects.select(*schemas.REJECTS.names),
    )


def _item(position: int, entry: Any, asked: Iterable[str], shown: Shown, settings: PersonaFilters) -> Item:
    relation, persona = (entry.get("relation"), entry.get("persona")) if isinstance(entry, dict) else (None, None)
    if not isinstance(persona, str) or not isinstance(relation, str):
        return _refused(position, "invalid", 'an entry without "relation" and "persona"', _shown(entry))
    relation = relation.strip().lower()
    if relation not in asked:
        return _refused(position, "unknown_relation", f"{relation[:100]!r} was not asked for", persona)
    return judged(position, relation, clean(persona), shown, settings)


def judged(position: int, relation: str, persona: str, shown: Shown, settings: PersonaFilters) -> Item:
    """A persona as it is written, by the filters."""
    verdict = filters.persona_reason(persona, shown, settings)
    if verdict is not None:
        return _refused(position, *verdict, persona, relation)
    return Item(position, relation, persona, filters.language(persona))


def _refused(position: int, reason: str, detail: str | None, raw: str | None, relation: str | None = None) -> Item:
    return Item(position, relation, reason=reason, detail=detail, raw=raw)


def row_of(stage: str, source_id: str, completion_id: str | None, item: Item, hop: int = 0) -> dict[str, Any]:
    """A row of PARSED."""
    row = {
        "stage": stage,
        "source_id": source_id,
        "completion_id": completion_id,
        "position": item.position,
        "relation": item.relation,
    }
    if item.reason is None:
        persona = item.persona or ""
        return {**row, "persona_id": ids.persona_id(persona), "persona": persona, "language": item.language, "hop": hop}
    return {
        **row,
        "reason": item.reason,
        "detail": storable(item.detail, 500),
        "raw": storable(item.raw, RAW_CHARACTERS),
        "reject_id": ids.reject_id(stage, source_id, completion_id, item.reason, item.position),
    }


def clean(persona: str) -> str:
    """Whitespace runs to one space, no control characters, and what a table can store."""
    return " ".join(printable(storable(persona)).split())


def _shown(entry: Any) -> str:
    return repr(entry)[:RAW_CHARACTERS]
