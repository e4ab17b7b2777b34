"""Text-to-Persona (paper, section 2.1): who is likely to read, write, like or dislike a text. Pure: nothing is bought or written here.

build makes the requests, parse reads the answers back, split sorts what was read into the tables. `imported` reads personas that a
user already has, by the same filters.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from personahub import filters, ids, prompts, schemas
from personahub.config import Config, PersonaFilters, TextToPersona
from personahub.llm import answers
from personahub.rows import map_rows, storable
from personahub.text import cut_at_sentence

STAGE = "text-to-persona"
IMPORT = "import"
PROMPT = "text_to_persona"
RELATIONS = ("read", "write", "like", "dislike")  # the canonical order: that of the config changes no id
RAW_CHARACTERS = 2000

_STRING, _INT = T.StringType(), T.IntegerType()
PARSED = T.StructType(
    [
        T.StructField("stage", _STRING),
        T.StructField("source_id", _STRING),  # the document, or the line of an imported file
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


def prompts_of(config: Config) -> dict[str, prompts.Prompt]:
    """The prompts that this stage's requests name."""
    return {PROMPT: prompts.load(PROMPT)}


def build(documents: DataFrame, config: Config) -> DataFrame:
    """Documents (document_id, text) -> REQUESTS: one row per document and group of relations. A blank text makes no row.

    The variables hold the text, cut at a sentence to max_text_characters, and the settings; not the document's id or url, so that one
    text under two ids is one call. Relations are taken in canonical order, relations_per_request at a time.
    """
    settings, model = config.text_to_persona, config.models[config.text_to_persona.model]
    prompt = prompts.load(PROMPT)

    def requests(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for index, variables in variables_of(row["text"], settings):
            yield {
                "stage": STAGE,
                "source_id": row["document_id"],
                "sample_index": index,
                "completion_id": prompt.completion_id(variables, model, index),
                "prompt_name": prompt.name,
                "variables": ids.canonical_json(variables),
            }

    return map_rows(documents.select("document_id", "text"), requests, schemas.REQUESTS)


def variables_of(text: str | None, settings: TextToPersona) -> Iterator[tuple[int, dict[str, Any]]]:
    """The (sample_index, variables) of one text's requests.

    sample_index is the canonical number of the group's first relation: unique for a source, and the same for a group of relations
    whatever other relations are configured beside it.
    """
    text = cut_at_sentence((text or "").strip(), settings.max_text_characters)
    if not text:
        return
    relations = [relation for relation in RELATIONS if relation in settings.relations]
    for start in range(0, len(relations), settings.relations_per_request):
        group = relations[start : start + settings.relations_per_request]
        yield (
            RELATIONS.index(group[0]),
            {
                "text": text,
                "relations": group,
                "granularity": settings.granularity,
                "personas_per_relation": settings.personas_per_relation,
            },
        )


def parse(requests: DataFrame, completions: DataFrame, config: Config, run_id: str) -> DataFrame:
    """REQUESTS and COMPLETIONS, joined on completion_id (final rows only) -> PARSED: a row per persona or reject.

    Every (source, final completion) gives at least one row; two sources that share a completion get rows each. A request without a final
    completion gives none. Evaluate the result once: each evaluation parses again.
    """
    final = completions.where(F.col("final")).select("completion_id", "text", "error_kind", "error_message")
    asked = requests.select("source_id", "completion_id", "variables")
    persona_filters = config.personas.filters

    def items(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        variables = orjson.loads(row["variables"])
        for item in parse_answer(row["text"], row["error_kind"], row["error_message"], variables, persona_filters):
            yield _parsed(STAGE, row["source_id"], row["completion_id"], item)

    return map_rows(asked.join(final, on="completion_id", how="inner"), items, PARSED)


def parse_answer(
    text: str | None, error_kind: str | None, error_message: str | None, variables: Mapping[str, Any], settings: PersonaFilters
) -> list[Item]:
    """One final completion -> its personas and rejects, at least one item. Never raises.

    variables: those of the request (text, relations). Reasons of rejects: the completion's error_kind; invalid (no JSON, or of another
    shape); no_personas; per persona invalid, unknown_relation or a reason of filters.persona_reason; missing_relation.
    """
    if error_kind is not None or text is None:
        return [_refused(0, error_kind or "empty", error_message, text)]
    try:
        value = answers.extract(text)
    except answers.NoJson as error:
        return [_refused(0, "invalid", str(error), text)]
    listed = value.get("personas") if isinstance(value, dict) else value
    if not isinstance(listed, list):
        return [_refused(0, "invalid", 'the answer has no list "personas"', text)]
    if not listed:
        return [_refused(0, "no_personas", "the list is empty", text)]
    asked = variables["relations"]
    items = [_item(position, entry, asked, variables["text"], settings) for position, entry in enumerate(listed)]
    missing = [relation for relation in asked if relation not in {item.relation for item in items}]
    for position, relation in enumerate(missing, start=len(items)):
        items.append(_refused(position, "missing_relation", f"asked for {relation}, which the answer leaves out", text, relation))
    return items


def imported(rows: DataFrame, config: Config) -> DataFrame:
    """Personas that are there already: rows (document_id, text: the persona) -> PARSED, hop 0, relation import, no completion."""
    persona_filters = config.personas.filters

    def item(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        persona = _clean(row["text"] or "")
        yield _parsed(IMPORT, row["document_id"], None, _judged(0, IMPORT, persona, "", persona_filters))

    return map_rows(rows.select("document_id", "text"), item, PARSED)


def split(parsed: DataFrame, run_id: str) -> tuple[DataFrame, DataFrame, DataFrame]:
    """PARSED -> (personas, lineage, rejects), each by its table's schema and distinct by its key.

    A persona that several sources or relations lead to is one row, with the surface form of its first discovery: least hop,
    completion_id, position (and source_id, for imported ones).
    """
    good = parsed.where(F.col("reason").isNull())
    first = F.min(F.struct("hop", "completion_id", "position", "source_id", "persona", "language")).alias("first")
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


def _item(position: int, entry: Any, asked: Iterable[str], parent_text: str, settings: PersonaFilters) -> Item:
    relation, persona = (entry.get("relation"), entry.get("persona")) if isinstance(entry, dict) else (None, None)
    if not isinstance(persona, str) or not isinstance(relation, str):
        return _refused(position, "invalid", 'an entry without "relation" and "persona"', _shown(entry))
    relation = relation.strip().lower()
    if relation not in asked:
        return _refused(position, "unknown_relation", f"{relation[:100]!r} was not asked for", persona)
    return _judged(position, relation, _clean(persona), parent_text, settings)


def _judged(position: int, relation: str, persona: str, parent_text: str, settings: PersonaFilters) -> Item:
    verdict = filters.persona_reason(persona, parent_text, relation, settings)
    if verdict is not None:
        return _refused(position, *verdict, persona, relation)
    return Item(position, relation, persona, filters.language(persona))


def _refused(position: int, reason: str, detail: str | None, raw: str | None, relation: str | None = None) -> Item:
    return Item(position, relation, reason=reason, detail=detail, raw=raw)


def _parsed(stage: str, source_id: str, completion_id: str | None, item: Item) -> dict[str, Any]:
    row = {
        "stage": stage,
        "source_id": source_id,
        "completion_id": completion_id,
        "position": item.position,
        "relation": item.relation,
    }
    if item.reason is None:
        persona = item.persona or ""
        return {**row, "persona_id": ids.persona_id(persona), "persona": persona, "language": item.language, "hop": 0}
    return {
        **row,
        "reason": item.reason,
        "detail": storable(item.detail, 500),
        "raw": storable(item.raw, RAW_CHARACTERS),
        "reject_id": ids.reject_id(stage, source_id, completion_id, item.reason, item.position),
    }


def _clean(persona: str) -> str:
    """Whitespace runs to one space. A JSON escape can hold half a surrogate pair, which no table can store."""
    return " ".join(persona.encode("utf-8", "replace").decode().split())


def _shown(entry: Any) -> str:
    return repr(entry)[:RAW_CHARACTERS]
