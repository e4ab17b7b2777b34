"""The semantic part of the stage `dedup`: vectors of those that the words kept, each bought or computed once, and compared.

What is bought is committed before anything is decided: a run that dies decides anew by the words, which is free, and buys the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub.buy import Estimate, VectorOrder, buy_vectors, compute_vectors, estimate_vectors, find_missing_vectors
from personahub.buy.vectors import tokens_at_most
from personahub.config import Config
from personahub.dedup import by_vectors
from personahub.errors import ConfigError, TransientFailures
from personahub.generate import local
from personahub.ids import content_id
from personahub.llm.embeddings import key_of
from personahub.pipeline.hub import Hub

if TYPE_CHECKING:
    from personahub.dedup.search import Search

STAGE = "dedup"
OUTGROWN = 4  # clusters serve until the hub has so many times the vectors that they were trained for
Materialise = Callable[[DataFrame, str], DataFrame]


@dataclass(frozen=True)
class Decided:
    """duplicates: as dedup.deduplicate gives them; rejects: id, reason, detail; vectors: how many were bought or computed.

    search: by clusters that were trained on `trained_on` vectors, 0 for those of an earlier batch; packed: gives those of the kept rows.
    """

    duplicates: DataFrame
    rejects: DataFrame
    vectors: int
    search: "Search"
    trained_on: int
    packed: Callable[[], DataFrame]


def check(config: Config) -> None:
    """Raises ConfigError for settings that lead to no vectors."""
    settings = config.dedup.semantic
    if settings.model is None and settings.local_model is None:
        raise ConfigError(
            "dedup.semantic.enabled needs vectors: set dedup.semantic.model to a name under models whose endpoint serves /v1/embeddings, "
            "or dedup.semantic.local_model to a sentence-transformers model"
        )
    if settings.local_model is not None:
        if find_spec("sentence_transformers") is None:
            raise ConfigError(
                "dedup.semantic.local_model needs sentence-transformers: pip install 'personahub[local-embeddings]'"
            )
        local.key_of(settings)


def scheme(config: Config) -> str:
    """All that two semantic verdicts must share."""
    return f"cosine {config.dedup.semantic.threshold} {_key(config)}"


def estimate(hub: Hub, left: DataFrame, stage: str = STAGE) -> list[Estimate]:
    """What `obtain` would buy for these rows."""
    if hub.config.dedup.semantic.model is None:
        return []
    order = _order(hub, left, stage)
    return [estimate_vectors(order, find_missing_vectors(hub.store, order))]


def decide(hub: Hub, left: DataFrame, materialise: Materialise) -> Decided:
    """Rows (id, level, text), which the words kept and which are written already, against each other and those that stand.

    Nothing is decided before all vectors are there, as a vector that comes later could have decided otherwise: raises
    TransientFailures if some failed in passing, and what ended buying early.
    """
    settings = hub.config.dedup.semantic
    got = obtain(hub, left)
    fit = _fit(hub, left)
    rows = materialise(fit.select("id", "level").join(vectors(hub), on="id", how="inner"), "dedup.vectors")
    wanted, there = fit.count(), rows.count()
    if there < wanted:
        raise TransientFailures(
            f"dedup: {wanted - there:,} of {wanted:,} vectors failed in passing, and nothing is decided without them: "
            "run again to ask for those"
        )
    with_vector = rows.where(F.col("vector").isNotNull()).select("id", "level", "vector")
    standing = _standing(hub, left)
    search, trained_on = _search(hub, with_vector, standing)
    packed = _packed(hub, standing, search)
    duplicates, refused, packed_without = by_vectors(with_vector, settings, materialise, packed, search)
    gone = duplicates.select("id").unionByName(refused.select("id"))
    no_detail = F.lit(None).cast("string").alias("detail")
    rejects = refused.select("id", "reason", no_detail)
    refused_by_endpoint = rows.where(F.col("vector").isNull())
    rejects = rejects.unionByName(
        refused_by_endpoint.select("id", F.lit("no_embedding").alias("reason"), F.col("error_message").alias("detail"))
    )
    if settings.model is not None:
        too_long = left.join(fit.select("id"), on="id", how="left_anti")
        rejects = rejects.unionByName(too_long.select("id", F.lit("too_long_to_embed").alias("reason"), no_detail))
    return Decided(duplicates, rejects, got, search, trained_on, partial(packed_without, gone))


def remember(hub: Hub, decided: Decided) -> None:
    """Clusters and packed vectors, for later batches: they save time and change nothing, so that a run may die before this."""
    _append(hub, decided.packed(), decided.search)
    if not decided.trained_on:
        return
    centroids = decided.search.centroids
    count, dimension = centroids.shape
    values = pa.array(np.ascontiguousarray(centroids, np.float32).reshape(-1))
    columns = {
        "scheme": [_clusters(hub.config)] * count,
        "cluster": pa.array(range(count), pa.int32()),
        "vector": pa.ListArray.from_arrays(pa.array(range(0, count * dimension + 1, dimension), pa.int32()), values),
        "trained_on": pa.array([decided.trained_on] * count, pa.int64()),
    }
    hub.store.append(hub.spark.createDataFrame(pa.Table.from_pydict(columns)), "centroids")
    hub.store.delete("centroids", f"trained_on < {decided.trained_on}")
    hub.store.delete("packed_vectors", f"clusters <> '{_name(centroids)}'")


def _packed(hub: Hub, standing: DataFrame, search: "Search") -> DataFrame | None:
    """The standing vectors (id, vector), by the clusters of `search`: what is missing of them, or too much, is made good first."""
    name = _name(search.centroids)
    packed = hub.store.table("packed_vectors").where(F.col("clusters") == name)
    there = packed.select(F.explode("ids").alias("id"))
    if not there.join(standing, on="id", how="left_anti").isEmpty():  # some were taken down
        hub.store.delete("packed_vectors", f"clusters = '{name}'")
    missing = standing.join(there, on="id", how="left_anti")
    if not missing.isEmpty():
        from personahub.dedup import semantic  # here, because numba takes its time to import

        _append(hub, semantic.pack(missing, search), search)
    packed = hub.store.table("packed_vectors").where(F.col("clusters") == name)
    return None if packed.isEmpty() else packed


def _append(hub: Hub, packed: DataFrame, search: "Search") -> None:
    hub.store.append(packed.withColumn("clusters", F.lit(_name(search.centroids))), "packed_vectors")


def _name(centroids: np.ndarray) -> str:
    return content_id(np.ascontiguousarray(centroids, "<f4").tobytes().hex())


def _key(config: Config) -> str:
    settings = config.dedup.semantic
    return local.key_of(settings) if settings.model is None else key_of(config.models[settings.model])


def _clusters(config: Config) -> str:
    settings = config.dedup.semantic
    return f"{settings.clusters} {settings.seed} {scheme(config)}"


def _fit(hub: Hub, left: DataFrame) -> DataFrame:
    """Those that may be sent. A local model cuts what is too long for it."""
    settings = hub.config.dedup.semantic
    return left if settings.model is None else left.where(tokens_at_most("text") <= settings.max_text_tokens)


def _order(hub: Hub, left: DataFrame, stage: str = STAGE) -> VectorOrder:
    settings = hub.config.dedup.semantic
    texts = _fit(hub, left).select(F.col("id").alias("persona_id"), "text")
    return VectorOrder(stage, texts, hub.config.models[settings.model], settings)


def obtain(hub: Hub, left: DataFrame, stage: str = STAGE) -> int:
    """Rows (id, text): the vectors that the ledger has not are bought or computed. Returns how many came."""
    if hub.config.dedup.semantic.model is not None:
        bought = buy_vectors(hub.store, hub.config, hub.run_id, _order(hub, left, stage), hub.ui, hub.lease)
        return bought.calls - bought.failed
    texts = left.select(F.col("id").alias("persona_id"), "text")
    return compute_vectors(hub.store, hub.config, hub.run_id, stage, texts, hub.lease)


def vectors(hub: Hub) -> DataFrame:
    """id, vector (null where there will be none), error_message: what the ledger has by this configuration's model."""
    ledger = hub.store.table("embeddings").where(F.col("final") & (F.col("model") == _key(hub.config)))
    return ledger.select(F.col("persona_id").alias("id"), "vector", "error_message")


def _standing(hub: Hub, left: DataFrame) -> DataFrame:
    """id, vector of those that earlier batches kept: they have keys, and were not removed by their vectors."""
    table = hub.store.table
    of_personas = F.col("kind") == "persona"
    kept = table("lexical_keys").select(F.explode("persona_ids").alias("id"))
    for gone in (table("duplicates").where(of_personas), table("tombstones").where(of_personas), left):
        kept = kept.join(gone.select("id"), on="id", how="left_anti")
    mine = table("embeddings").where(F.col("final") & (F.col("model") == _key(hub.config)) & F.col("vector").isNotNull())
    return mine.select(F.col("persona_id").alias("id"), "vector").join(kept, on="id", how="left_semi")


def _search(hub: Hub, rows: DataFrame, standing: DataFrame) -> "tuple[Search, int]":
    """Where they are compared, and on how many vectors that was trained: 0 for the clusters of an earlier batch."""
    from personahub.dedup import semantic  # here, because numba takes its time to import

    old = standing.count()
    total = rows.count() + old
    stored = hub.store.table("centroids").where(F.col("scheme") == _clusters(hub.config)).toArrow()
    newest = max(stored["trained_on"].to_pylist(), default=0)
    if newest and old and total < OUTGROWN * newest:
        stored = stored.filter(pc.equal(stored["trained_on"], newest)).sort_by("cluster")
        centroids = np.stack(stored["vector"].to_numpy()).astype(np.float32)
        return semantic.prepare(rows, hub.config.dedup.semantic, standing, centroids), 0
    return semantic.prepare(rows, hub.config.dedup.semantic, standing if old else None), total
