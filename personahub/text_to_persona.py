"""Text-to-Persona (paper, section 2.1): who is likely to read, write, like or dislike a text. Pure: nothing is bought or written here.

build makes the requests, parse reads the answers back. `imported` reads personas that a user already has, by the same filters.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub import ids, prompts, schemas
from personahub.config import Config, TextToPersona
from personahub.personas import PARSED, clean, judged, parse_answer, row_of
from personahub.rows import map_rows
from personahub.text import cut_at_sentence

STAGE = "text-to-persona"
IMPORT = "import"
PROMPT = "text_to_persona"
RELATIONS = ("read", "write", "like", "dislike")  # the canonical order: that of the config changes no id


def prompts_of(config: Config) -> dict[str, prompts.Prompt]:
    """The prompts that this stage's requests name."""
    return {PROMPT: prompts.load(PROMPT)}


def build(documents: DataFrame, config: Config) -> DataFrame:
    """Documents (document_id, text) -> REQUESTS: one row per document and group of relations. A blank text makes no row.

    The variables hold the text, cut at a sentence to max_text_characters, and the settings; not the document's id or url, so that one
    text under two ids is one call. Relations are taken in canonical order, relations_per_request at a time.
    """
    settings = config.text_to_persona
    completion_id = prompts.load(PROMPT).completion_ids(config.models[settings.model])

    def requests(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for index, variables in variables_of(row["text"], settings):
            told = ids.canonical_json(variables)
            yield {
                "stage": STAGE,
                "source_id": row["document_id"],
                "sample_index": index,
                "completion_id": completion_id(told, index),
                "prompt_name": PROMPT,
                "variables": told,
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
        of = orjson.loads(row["variables"])
        answer = row["text"], row["error_kind"], row["error_message"]
        for item in parse_answer(*answer, of["relations"], of["text"], persona_filters):
            yield row_of(STAGE, row["source_id"], row["completion_id"], item)

    return map_rows(asked.join(final, on="completion_id", how="inner"), items, PARSED)


def imported(rows: DataFrame, config: Config) -> DataFrame:
    """Personas that are there already: rows (document_id, text: the persona) -> PARSED, hop 0, relation import, no completion."""
    persona_filters = config.personas.filters

    def item(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        persona = clean(row["text"] or "")
        yield row_of(IMPORT, row["document_id"], None, judged(0, IMPORT, persona, "", persona_filters))

    return map_rows(rows.select("document_id", "text"), item, PARSED)
