"""Texts that the ledger `embeddings` has no vector of, and what their vectors would cost."""

import math
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from personahub.config import Model, SemanticDedup
from personahub.inference.pending import CHARACTERS_PER_TOKEN, pending_scratch, priced
from personahub.llm.embeddings import key_of
from personahub.llm.usage import MIN_BYTES_PER_TOKEN
from personahub.storage.delta import Store
from personahub.storage.hub import Estimate


@dataclass(frozen=True)
class VectorBatch:
    """What a stage asks for one purpose: vectors of texts (text_id, text), each id once. model None: a local model computes them."""

    stage: str
    purpose: str
    texts: DataFrame
    model: Model | None
    settings: SemanticDedup


@dataclass(frozen=True)
class PendingTexts:
    """The texts that the ledger has neither a vector nor a refusal of."""

    rows: DataFrame
    texts: int
    reused: int
    characters: int  # of all of them
    largest_request: int  # tokens, an upper estimate
    other_model: int  # that have a vector of another model, or of other settings


def find_pending_texts(store: Store, batch: VectorBatch) -> PendingTexts:
    """Anti-joined with the ledger, written once. Nothing is bought from a plan that runs twice."""
    assert batch.model is not None
    ledger = store.table("embeddings").where("final").select("text_id", "model")
    mine, others = ledger.where(F.col("model") == key_of(batch.model)), ledger.where(F.col("model") != key_of(batch.model))
    rows = batch.texts.select("text_id", "text").join(mine, on="text_id", how="left_anti")
    rows = store.materialise(rows, pending_scratch(batch.stage, batch.purpose))
    texts, characters = rows.agg(F.count("*"), F.sum(F.length("text"))).collect()[0]
    tokens = rows.select(max_tokens_of("text").alias("tokens"))
    # no request can be larger than one of the longest texts alone
    longest = (
        tokens.orderBy(F.desc("tokens"))
        .limit(batch.settings.texts_per_request)
        .agg(F.sum("tokens"), F.max("tokens"))
        .collect()[0]
    )
    largest = max(min(longest[0] or 0, batch.settings.tokens_per_request), longest[1] or 0)
    other = rows.join(others, on="text_id", how="left_semi").count() if texts else 0
    return PendingTexts(rows, texts, batch.texts.count() - texts, characters or 0, largest, other)


def max_tokens_of(text: str) -> Column:
    """An upper bound on the tokens of a column of texts, as llm.usage counts them."""
    return F.ceil(F.octet_length(text) / MIN_BYTES_PER_TOKEN)


def estimate_vectors(batch: VectorBatch, pending: PendingTexts) -> Estimate:
    """Exact texts; requests and tokens by the characters of all of them."""
    settings, model = batch.settings, batch.model
    assert model is not None
    tokens = round(pending.characters / CHARACTERS_PER_TOKEN)
    note = ""
    if pending.other_model:
        note = f"{pending.other_model} of them have a vector of another model or other settings: it does not serve here"
    calls = max(math.ceil(pending.texts / settings.texts_per_request), math.ceil(tokens / settings.tokens_per_request))
    return priced(batch.stage, batch.purpose, model, calls, pending.reused, tokens, 0, note=note, texts=pending.texts)
