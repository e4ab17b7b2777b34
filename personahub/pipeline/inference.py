"""Who wrote the examples that prompts show: where it is not known, text-to-persona is asked first (paper, section 3)."""

from dataclasses import replace

from pyspark.sql import functions as F

from personahub import synthesis, text_to_persona
from personahub.buy import Estimate, Order, buy, estimate, find_missing
from personahub.config import Config
from personahub.ids import content_id
from personahub.pipeline.hub import Hub
from personahub.rows import frame
from personahub.schemas import DOCUMENTS
from personahub.synthesis.few_shot import Example

PLACEHOLDER = "A person whom an example was written by."  # where nothing may be bought: about as long as a persona


def examples(hub: Hub) -> list[Example]:
    """What synthesis shows, each with a persona where the mode wants one. What is missing is bought if the hub was opened to spend; those
    whose text led to no persona are left out.
    """
    pool = synthesis.examples_of(hub.config)
    if not _nameless(hub.config, pool):
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


def estimates(hub: Hub) -> list[Estimate]:
    """What `examples` would buy now."""
    pool = synthesis.examples_of(hub.config)
    if not _nameless(hub.config, pool):
        return []
    order = _order(hub, pool)
    return [estimate(hub.store, order, find_missing(hub.store, order))]


def _nameless(config: Config, pool: list[Example]) -> bool:
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
