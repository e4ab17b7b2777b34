"""The examples that prompts show: whose they are, and which are nearest to whom (paper, section 3).

They come from a file; where their personas are to be shown and not known, text-to-persona is asked first. Or they are the hub's own.
"""

from dataclasses import replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from personahub import synthesis, text_to_persona
from personahub.buy import Estimate, Order, buy, estimate, find_missing
from personahub.config import Config
from personahub.errors import TransientFailures
from personahub.ids import content_id
from personahub.pipeline import semantic
from personahub.pipeline.hub import Hub
from personahub.pipeline.synthesize import own_examples
from personahub.rows import frame
from personahub.schemas import DOCUMENTS
from personahub.synthesis.few_shot import Example

TEXTS = T.StructType([T.StructField("id", T.StringType()), T.StructField("text", T.StringType())])
NAMES = T.StructType([T.StructField("persona_id", T.StringType())])
PLACEHOLDER = "A person whom an example was written by."  # where nothing may be bought: about as long as a persona


def examples(hub: Hub) -> list[Example]:
    """What synthesis shows, each with a persona where the mode wants one. What is missing is bought if the hub was opened to spend; those
    whose text led to no persona are left out.
    """
    settings = hub.config.synthesis
    if settings.mode != "zero_shot" and settings.few_shot.file is None:
        return own_examples.frozen(hub)
    pool = synthesis.examples_of(hub.config)
    if not nameless(hub.config, pool):
        return pool
    order = _order(hub, pool)
    if hub.lease is None:
        return [one if one.persona else replace(one, persona=PLACEHOLDER) for one in pool]
    buy(hub.store, hub.config, hub.run_id, order, hub.ui, hub.lease)
    parsed = text_to_persona.parse(order.requests, hub.store.table("completions"), _by_writers(hub.config), hub.run_id)
    first = (
        parsed.where(F.col("reason").isNull())
        .groupBy("source_id")
        .agg(F.min_by("persona", "position").alias("persona"))
        .collect()
    )
    personas = {row.source_id: row.persona for row in first}
    named = [one if one.persona else replace(one, persona=personas.get(content_id(one.text))) for one in pool]
    return [one for one in named if one.persona]


def with_vectors(hub: Hub, people: DataFrame, pool: list[Example]) -> tuple[DataFrame, list[Example]]:
    """People (persona_id, persona) and examples, each with its vector where prompts show the nearest. Null where the endpoint gives none.

    They are bought if the hub was opened to spend. Raises TransientFailures where some failed in passing: with them others would be shown.
    """
    if not _nearest(hub.config):
        return people, pool
    wanted = _compared(hub, people, pool)
    if hub.lease is not None:
        semantic.obtain(hub, wanted, synthesis.STAGE)
    vectors = semantic.vectors(hub).select(F.col("id").alias("persona_id"), "vector")
    missing = wanted.join(vectors, wanted.id == vectors.persona_id, "left_anti").count() if hub.lease is not None else 0
    if missing:
        raise TransientFailures(
            f"synthesize: {missing:,} vectors failed in passing, and what is nearest is not known: run again to ask for those"
        )
    names = frame(hub.spark, [(content_id(one.about),) for one in pool], NAMES).distinct()
    found = {row.persona_id: row.vector for row in vectors.join(names, on="persona_id", how="left_semi").collect()}
    return people.join(vectors, on="persona_id", how="left"), [
        replace(one, vector=found.get(content_id(one.about))) for one in pool
    ]


def estimates(hub: Hub, people: DataFrame) -> list[Estimate]:
    """What `examples` and `with_vectors` would buy now."""
    found, pool = [], synthesis.examples_of(hub.config)
    if nameless(hub.config, pool):
        order = _order(hub, pool)
        found.append(replace(estimate(hub.store, order, find_missing(hub.store, order)), part="the personas of examples"))
    if _nearest(hub.config):
        wanted = _compared(hub, people, examples(hub))
        found += [
            replace(one, part="vectors, to show what is nearest") for one in semantic.estimate(hub, wanted, synthesis.STAGE)
        ]
    return found


def _nearest(config: Config) -> bool:
    return config.synthesis.mode != "zero_shot" and config.synthesis.few_shot.draw == "nearest"


def _compared(hub: Hub, people: DataFrame, pool: list[Example]) -> DataFrame:
    """id, text: whose vectors are compared."""
    texts = {content_id(one.about): one.about for one in pool}
    rows = frame(hub.spark, list(texts.items()), TEXTS)
    return people.select(F.col("persona_id").alias("id"), F.col("persona").alias("text")).unionByName(rows).dropDuplicates(["id"])


def nameless(config: Config, pool: list[Example]) -> bool:
    """Are personas of examples to be shown that are not known?"""
    return config.synthesis.mode == "persona_few_shot" and any(one.persona is None for one in pool)


def _order(hub: Hub, pool: list[Example]) -> Order:
    config = _by_writers(hub.config)
    texts = {content_id(one.text): one.text for one in pool if one.persona is None}
    documents = frame(hub.spark, [(name, "few_shot", None, None, text, None) for name, text in texts.items()], DOCUMENTS)
    requests = text_to_persona.build(documents, config).withColumn("stage", F.lit(synthesis.STAGE))
    return Order(synthesis.STAGE, requests, config.models[config.text_to_persona.model], text_to_persona.prompts_of(config))


def _by_writers(config: Config) -> Config:
    """One persona a text: who is likely to have written it."""
    settings = config.text_to_persona.model_copy(update={"relations": ("write",), "personas_per_relation": 1})
    return config.model_copy(update={"text_to_persona": settings})
