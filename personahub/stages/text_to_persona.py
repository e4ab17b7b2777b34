"""Text-to-Persona (paper, section 2.1): who is likely to read, write, like or dislike a text.

build makes the requests, parse reads the answers back: both pure. `imported` reads personas that a user already has, by the same filters.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub import prompts, schemas
from personahub.config import Config, TextToPersona
from personahub.filters import Shown
from personahub.inference import RequestBatch, estimate, find_pending
from personahub.rows import map_rows
from personahub.stages.persona_answers import PARSED, WRITES, clean, judged, parse_answer, row_of, split
from personahub.stages.requests import request_row
from personahub.stages.stage import ModelUse, Rounds, Stage, TextColumns
from personahub.storage.hub import Estimate, Hub
from personahub.storage.views import documents_to_ask, live_documents
from personahub.text import cut_at_sentence

NAME = "text-to-persona"
IMPORT = "import"
PROMPT = "text_to_persona"
RELATIONS = ("read", "write", "like", "dislike")  # the canonical order: that of the config changes no id


def build(documents: DataFrame, config: Config) -> DataFrame:
    """Documents (document_id, text) -> REQUESTS: one row per document and group of relations. A blank text makes no row.

    The variables hold the text, cut at a sentence to max_text_characters, and the settings; not the document's id or url, so that one
    text under two ids is one call. Relations are taken in canonical order, relations_per_request at a time.
    """
    settings = config.text_to_persona
    completion_id = prompts.load(PROMPT).completion_ids(config.models[settings.model])

    def requests(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for index, variables in variables_of(row["text"], settings):
            yield request_row(NAME, row["document_id"], index, PROMPT, completion_id, variables)

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


def parse(requests: DataFrame, completions: DataFrame, config: Config) -> DataFrame:
    """REQUESTS and COMPLETIONS, joined on completion_id (final rows only) -> PARSED: a row per persona or reject.

    Every (source, final completion) gives at least one row; two sources that share a completion get rows each. A request without a final
    completion gives none. Evaluate the result once: each evaluation parses again.
    """
    final = completions.where(F.col("final")).select("completion_id", "text", "error_kind", "error_message")
    asked = requests.select("source_id", "completion_id", "variables")
    persona_filters, prompt = config.personas.filters, prompts.load(PROMPT)

    def items(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        of = orjson.loads(row["variables"])
        answer = row["text"], row["error_kind"], row["error_message"]
        shown = Shown(of["text"], prompt.own_words(of))
        for item in parse_answer(*answer, of["relations"], shown, persona_filters, prompt.schema):
            yield row_of(NAME, row["source_id"], row["completion_id"], item)

    return map_rows(asked.join(final, on="completion_id", how="inner"), items, PARSED)


def imported(rows: DataFrame, config: Config) -> DataFrame:
    """Personas that are there already: rows (document_id, text: the persona) -> PARSED, hop 0, relation import, no completion."""
    persona_filters = config.personas.filters

    def item(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        persona = clean(row["text"] or "")
        yield row_of(IMPORT, row["document_id"], None, judged(0, IMPORT, persona, Shown(), persona_filters))

    return map_rows(rows.select("document_id", "text"), item, PARSED)


def rounds(hub: Hub) -> Rounds:
    """One batch: all requests of the documents that were not taken down."""
    yield batch(hub)


def batch(hub: Hub) -> RequestBatch:
    config = hub.config
    requests = build(live_documents(hub.store.table), config)
    return RequestBatch(NAME, "personas", requests, config.models[config.text_to_persona.model], prompts.by_name(PROMPT))


def bound(hub: Hub, incoming: int) -> tuple[list[Estimate], int]:
    """What is pending, and the personas that come of it at most."""
    settings, one = hub.config.text_to_persona, batch(hub)
    estimated = estimate(hub.store, one, find_pending(hub.store, one))
    return [estimated], estimated.calls * settings.relations_per_request * settings.personas_per_relation + incoming


def model_use(config: Config) -> ModelUse:
    """The model that is asked for personas of texts, and for what."""
    settings = config.text_to_persona
    return ModelUse(settings.model, prompts=(prompts.load(PROMPT),), characters=settings.max_text_characters)


def progress(hub: Hub) -> Iterator[str]:
    """Documents without any outcome."""
    waiting = documents_to_ask(hub.store.table).count()
    if waiting:
        yield f"{waiting:,} documents have led to no persona and no reject yet: run {NAME}"


STAGE = Stage(
    name=NAME,
    about="buys for each document the personas of those who are likely to read, write, like or dislike it",
    writes=WRITES,
    rounds=rounds,
    parse=lambda hub, asked, completions: parse(asked.requests, completions, hub.config),
    split=split,
    parsed=("lineage", "parent_id"),
    models=lambda config: [model_use(config)],
    bound=bound,
    progress=progress,
    texts=(TextColumns("documents", "document_id", ("text", "url")), TextColumns("personas", "persona_id", ("persona",))),
)
