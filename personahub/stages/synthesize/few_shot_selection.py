"""The examples that prompts show: where they come from, and which are nearest to a persona (paper, section 3).

They come from a file; where their personas are to be shown and not known, text-to-persona is asked first. Or they are the hub's own.
"""

from dataclasses import replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from personahub import embeddings, prompts
from personahub.config import Config
from personahub.errors import TransientFailures
from personahub.ids import content_id
from personahub.inference import RequestBatch, estimate, find_pending
from personahub.rows import frame
from personahub.schemas import DOCUMENTS
from personahub.stages import text_to_persona
from personahub.stages.stage import Rounds
from personahub.stages.synthesize import few_shot_from_hub, transform
from personahub.stages.synthesize.few_shot import Example
from personahub.stages.synthesize.results import NAME
from personahub.storage.hub import Estimate, Hub

PERSONAS, VECTORS = "personas of few-shot examples", "few-shot selection"  # purposes
TEXTS = T.StructType([T.StructField("id", T.StringType()), T.StructField("text", T.StringType())])
NAMES = T.StructType([T.StructField("persona_id", T.StringType())])
PLACEHOLDER = "A person whom an example was written by."  # where nothing may be bought: about as long as a persona


def examples(hub: Hub) -> Rounds:
    """The examples that prompts draw from, each with a persona where the mode shows one: a list of Example.

    What is missing of the personas is bought; examples whose text led to no persona are left out.
    """
    passed_over: list[str] = []
    pool = _pool(hub, passed_over)
    if passed_over:
        hub.ui.say(f"synthesis.few_shot.file: {len(passed_over):,} rows are passed over; {passed_over[0]}")
    if not needs_personas(hub.config, pool):
        return pool
    batch = _batch(hub, pool)
    yield batch
    parsed = text_to_persona.parse(batch.requests, hub.store.table("completions"), _by_writers(hub.config))
    good = parsed.where(F.col("reason").isNull()).groupBy("source_id")
    first = good.agg(F.min_by("persona", "position").alias("persona")).collect()
    personas = {row.source_id: row.persona for row in first}
    named = [one if one.persona else replace(one, persona=personas.get(content_id(one.text))) for one in pool]
    return [one for one in named if one.persona]


def with_placeholders(hub: Hub) -> list[Example]:
    """The same where nothing may be bought: unknown personas are a sentence of about their length."""
    pool = _pool(hub)
    if not needs_personas(hub.config, pool):
        return pool
    return [one if one.persona else replace(one, persona=PLACEHOLDER) for one in pool]


def with_vectors(hub: Hub, personas: DataFrame, pool: list[Example]) -> Rounds:
    """Personas (persona_id, persona) and examples, each with its vector where prompts show the nearest; null where the endpoint gives none.

    Raises TransientFailures where some failed transiently: with them other examples would be shown.
    """
    if not nearest(hub.config):
        return personas, pool
    wanted = _texts(hub, personas, pool)
    yield embeddings.batch_of(hub, wanted, NAME, VECTORS)
    missing = wanted.join(embeddings.vectors(hub).select("id"), on="id", how="left_anti").count()
    if missing:
        raise TransientFailures(
            f"{NAME}: {missing:,} vectors failed transiently, and what is nearest is not known: run again to ask for those"
        )
    return known_vectors(hub, personas, pool)


def known_vectors(hub: Hub, personas: DataFrame, pool: list[Example]) -> tuple[DataFrame, list[Example]]:
    """Personas and examples with the vectors that the ledger has."""
    vectors = embeddings.vectors(hub).select(F.col("id").alias("persona_id"), "vector")
    names = frame(hub.spark, [(one.about_id,) for one in pool], NAMES).distinct()
    found = {row.persona_id: row.vector for row in vectors.join(names, on="persona_id", how="left_semi").collect()}
    with_vector = [replace(one, vector=found.get(one.about_id)) for one in pool]
    return personas.join(vectors, on="persona_id", how="left"), with_vector


def estimates(hub: Hub, personas: DataFrame) -> list[Estimate]:
    """What `examples` and `with_vectors` would buy now."""
    found, pool = [], _pool(hub)
    if needs_personas(hub.config, pool):
        batch = _batch(hub, pool)
        found.append(estimate(hub.store, batch, find_pending(hub.store, batch)))
    if nearest(hub.config):
        texts = _texts(hub, personas, with_placeholders(hub))
        found += embeddings.estimate(hub, embeddings.batch_of(hub, texts, NAME, VECTORS))
    return found


def nearest(config: Config) -> bool:
    """Are the examples nearest to a persona shown?"""
    return config.synthesis.mode != "zero_shot" and config.synthesis.few_shot.selection == "knn"


def needs_personas(config: Config, pool: list[Example]) -> bool:
    """Are personas of examples to be shown that are not known?"""
    return config.synthesis.mode == "persona_few_shot" and any(one.persona is None for one in pool)


def _pool(hub: Hub, passed_over: list[str] | None = None) -> list[Example]:
    settings = hub.config.synthesis
    if settings.mode != "zero_shot" and settings.few_shot.file is None:
        return few_shot_from_hub.frozen_pool(hub)
    return transform.examples_of(hub.config, passed_over)


def _texts(hub: Hub, personas: DataFrame, pool: list[Example]) -> DataFrame:
    """id, text: of the personas and of the examples, whose vectors are compared."""
    texts = {one.about_id: one.about for one in pool}
    rows = frame(hub.spark, list(texts.items()), TEXTS)
    return (
        personas.select(F.col("persona_id").alias("id"), F.col("persona").alias("text")).unionByName(rows).dropDuplicates(["id"])
    )


def _batch(hub: Hub, pool: list[Example]) -> RequestBatch:
    config = _by_writers(hub.config)
    texts = {content_id(one.text): one.text for one in pool if one.persona is None}
    documents = frame(hub.spark, [(name, "few_shot", None, None, text, None) for name, text in texts.items()], DOCUMENTS)
    requests = text_to_persona.build(documents, config).withColumn("stage", F.lit(NAME))
    model = config.models[config.text_to_persona.model]
    return RequestBatch(NAME, PERSONAS, requests, model, prompts.by_name(text_to_persona.PROMPT), parse=False)


def _by_writers(config: Config) -> Config:
    """One persona a text: the likely writer."""
    settings = config.text_to_persona.model_copy(update={"relations": ("write",), "personas_per_relation": 1})
    return config.model_copy(update={"text_to_persona": settings})
