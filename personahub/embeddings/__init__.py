"""Vectors of texts, bought from an endpoint or computed by a local model: each once, under one key of the model.

The table `embeddings` is their ledger. Its rows are of a text_id, of a persona its persona_id, and of the model's key: all that changes a
vector, so that vectors of two keys are never compared.
"""

from importlib.util import find_spec

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub.config import Config
from personahub.embeddings import local
from personahub.embeddings.compute import compute_vectors
from personahub.embeddings.pending import VectorBatch, estimate_vectors, find_pending_texts, max_tokens_of
from personahub.errors import ConfigError, Interrupted
from personahub.inference import check_prices
from personahub.inference.pool import pool_of
from personahub.inference.preflight import encoding_of, limits_of
from personahub.inference.purchase import Purchase, PurchaseResult, confirm_purchase, execute_purchase, with_alias
from personahub.inference.vector_work import Vectors
from personahub.llm.embeddings import key_of
from personahub.storage.hub import Estimate, Hub

__all__ = ["VectorBatch", "batch_of", "buy", "check", "estimate", "model_key", "sendable", "vectors"]


def check(config: Config, needed_by: str) -> None:
    """Raises ConfigError where no vectors can come. needed_by: the setting that asks for them."""
    settings = config.dedup.semantic
    if settings.model is None and settings.local_model is None:
        raise ConfigError(
            f"{needed_by} needs vectors: set dedup.semantic.model to a name under models whose endpoint serves /v1/embeddings, "
            "or dedup.semantic.local_model to a sentence-transformers model"
        )
    if settings.local_model is not None:
        if find_spec("sentence_transformers") is None:
            raise ConfigError(
                "dedup.semantic.local_model needs sentence-transformers: pip install 'personahub[local-embeddings]'"
            )
        local.key_of(settings)


def model_key(config: Config) -> str:
    """What makes two vectors comparable: the configured model with all that changes its vectors."""
    settings = config.dedup.semantic
    return local.key_of(settings) if settings.model is None else key_of(config.models[settings.model])


def sendable(config: Config, texts: DataFrame) -> DataFrame:
    """Rows with a column text -> those short enough to be sent. A local model cuts what is too long for it."""
    settings = config.dedup.semantic
    return texts if settings.model is None else texts.where(max_tokens_of("text") <= settings.max_text_tokens)


def batch_of(hub: Hub, texts: DataFrame, stage: str, purpose: str) -> VectorBatch:
    """Rows (id, text), each id once -> the batch of those that can be sent."""
    settings = hub.config.dedup.semantic
    rows = sendable(hub.config, texts).select(F.col("id").alias("text_id"), "text")
    return VectorBatch(stage, purpose, rows, None if settings.model is None else hub.config.models[settings.model], settings)


def estimate(hub: Hub, batch: VectorBatch) -> list[Estimate]:
    """What `buy` would buy; nothing where the vectors are computed."""
    return [] if batch.model is None else [estimate_vectors(batch, find_pending_texts(hub.store, batch))]


def buy(hub: Hub, batch: VectorBatch) -> PurchaseResult:
    """The vectors that the ledger lacks, bought or computed. A text that the endpoint refuses for good has a final row without a vector.

    Raises what ended it early, as `inference.buy` does.
    """
    if batch.model is None:
        return PurchaseResult(calls=compute_vectors(hub, batch))
    pending = find_pending_texts(hub.store, batch)
    if not pending.texts:
        return PurchaseResult(reused=pending.reused)
    check_prices(hub.config, batch.model, batch.stage, answers=False)
    if not confirm_purchase(hub, estimate_vectors(batch, pending)):
        raise Interrupted("nothing more was bought; what was bought before is kept")
    with with_alias(hub.config, batch.model):
        texts, tokens = batch.settings.texts_per_request, batch.settings.tokens_per_request
        model, members = pool_of(hub, batch.model, lambda one: Vectors(encoding_of(hub, batch.stage, one), texts, tokens))
        limits = limits_of(hub, model, pending.largest_request, 0, known=True)
        purchase = Purchase(batch.stage, batch.purpose, model, members, pending.rows, pending.texts, limits)
        return execute_purchase(hub, purchase, pending.reused)


def vectors(hub: Hub) -> DataFrame:
    """id, vector (null where there will be none), error_message: what the ledger has by the configured model."""
    ledger = hub.store.table("embeddings").where(F.col("final") & (F.col("model") == model_key(hub.config)))
    return ledger.select(F.col("text_id").alias("id"), "vector", "error_message")
