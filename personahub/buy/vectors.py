"""Step 1 of buying vectors: which texts the ledger `embeddings` has none of, and what they would cost."""

import math
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from personahub.buy.missing import CHARACTERS_PER_TOKEN, Estimate
from personahub.config import Model, SemanticDedup
from personahub.llm.embeddings import BYTES_PER_TOKEN_AT_LEAST, key_of
from personahub.store import Store


@dataclass(frozen=True)
class VectorOrder:
    """A stage's wish: the vectors of its texts (persona_id, text), each id once, by this model."""

    stage: str
    texts: DataFrame
    model: Model
    settings: SemanticDedup


@dataclass(frozen=True)
class MissingVectors:
    """The texts that the ledger has neither a vector nor a refusal of."""

    rows: DataFrame
    texts: int
    reused: int
    characters: int  # of all of them
    largest_request: int  # tokens, an upper estimate
    other_model: int  # that have a vector of another model, or of other settings


def find_missing_vectors(store: Store, order: VectorOrder) -> MissingVectors:
    """Step 1: anti-joined with the ledger, written once. Nothing is bought from a plan that runs twice."""
    ledger = store.table("embeddings").where("final").select("persona_id", "model")
    mine, others = ledger.where(F.col("model") == key_of(order.model)), ledger.where(F.col("model") != key_of(order.model))
    rows = order.texts.select("persona_id", "text").join(mine, on="persona_id", how="left_anti")
    rows = store.materialise(rows, f"{order.stage}.missing")
    texts, characters = rows.agg(F.count("*"), F.sum(F.length("text"))).collect()[0]
    tokens = rows.select(tokens_at_most("text").alias("tokens"))
    # no request can be larger than one of the longest texts alone
    longest = (
        tokens.orderBy(F.desc("tokens"))
        .limit(order.settings.texts_per_request)
        .agg(F.sum("tokens"), F.max("tokens"))
        .collect()[0]
    )
    largest = max(min(longest[0] or 0, order.settings.tokens_per_request), longest[1] or 0)
    other = rows.join(others, on="persona_id", how="left_semi").count() if texts else 0
    return MissingVectors(rows, texts, order.texts.count() - texts, characters or 0, largest, other)


def tokens_at_most(text: str) -> Column:
    """Of the column `text`, as llm.embeddings counts them."""
    return F.ceil(F.octet_length(text) / BYTES_PER_TOKEN_AT_LEAST)


def estimate_vectors(order: VectorOrder, missing: MissingVectors) -> Estimate:
    """Exact texts; requests and tokens by the characters of all of them."""
    settings = order.settings
    tokens = round(missing.characters / CHARACTERS_PER_TOKEN)
    note = ""
    if missing.other_model:
        note = f"{missing.other_model} of them have a vector of another model or other settings: it does not serve here"
    return Estimate(
        stage=order.stage,
        calls=max(math.ceil(missing.texts / settings.texts_per_request), math.ceil(tokens / settings.tokens_per_request)),
        reused=missing.reused,
        prompt_tokens=tokens,
        completion_tokens=0,
        cost_usd=order.model.cost_usd(tokens, 0),
        model=order.model.model,
        base_url=order.model.base_url,
        note=note,
        texts=missing.texts,
    )
