"""The semantic part of the stage `dedup`: the personas that the words kept, compared by their vectors.

All vectors are committed before anything is decided: a killed run decides anew by the words, which is free, and buys the rest.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub import embeddings
from personahub.config import Config
from personahub.dedup import by_vectors
from personahub.errors import TransientFailures
from personahub.ids import content_id
from personahub.rows import Materialise
from personahub.storage.hub import Hub
from personahub.storage.views import not_kept, without

if TYPE_CHECKING:
    from personahub.dedup.ivf_index import IvfIndex

OUTGROWN = 4  # clusters serve until the hub has so many times the vectors that they were trained for


@dataclass(frozen=True)
class Decided:
    """duplicates: as dedup.by_vectors gives them; rejects: id, reason, detail.

    search: by clusters that were trained on `trained_on` vectors, 0 for those of an earlier batch. kept: id, vector of the others.
    """

    duplicates: DataFrame
    rejects: DataFrame
    search: "IvfIndex"
    trained_on: int
    kept: DataFrame


def scheme(config: Config) -> str:
    """All that two semantic verdicts must share."""
    return f"cosine {config.dedup.semantic.threshold} {embeddings.model_key(config)}"


def decide(hub: Hub, left: DataFrame, materialise: Materialise) -> Decided:
    """Rows (id, level, text), which the words kept and which are written already, against each other and those that stand.

    Nothing is decided before all vectors are there, as a vector that comes later could have decided otherwise: raises
    TransientFailures if some failed transiently, and what ended buying early.
    """
    settings = hub.config.dedup.semantic
    fit = embeddings.sendable(hub.config, left)
    rows = materialise(fit.select("id", "level").join(embeddings.vectors(hub), on="id", how="inner"), "vectors")
    wanted, there = fit.count(), rows.count()
    if there < wanted:
        raise TransientFailures(
            f"dedup: {wanted - there:,} of {wanted:,} vectors failed transiently, and nothing is decided without them: "
            "run again to ask for those"
        )
    with_vector = rows.where(F.col("vector").isNotNull()).select("id", "level", "vector")
    kept_before = _kept(hub, left)
    search, trained_on = _search(hub, with_vector, kept_before)
    packed = _packed(hub, kept_before, search)
    duplicates, refused = by_vectors(with_vector, settings, materialise, packed, search)
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
    return Decided(duplicates, rejects, search, trained_on, with_vector.join(gone, on="id", how="left_anti"))


def remember(hub: Hub, decided: Decided) -> None:
    """Packed vectors and clusters, for later batches: they save time and change nothing, so that a run may die before this."""
    _append(hub, decided.kept, decided.search)
    if not decided.trained_on:
        return
    centroids, scheme = decided.search.centroids, _clusters(hub.config)
    rows = [(scheme, cluster, vector, decided.trained_on) for cluster, vector in enumerate(centroids)]
    hub.store.record(rows, "vector_centroids")
    hub.store.delete("vector_centroids", f"trained_on < {decided.trained_on}")
    hub.store.delete("vector_index", f"clusters <> '{_name(centroids)}'")


def _packed(hub: Hub, kept_before: DataFrame, search: "IvfIndex") -> DataFrame | None:
    """The vectors (id, vector) kept before, by the clusters of `search`: what is missing of them, or too much, is made good first."""
    name = _name(search.centroids)
    packed = hub.store.table("vector_index").where(F.col("clusters") == name)
    there = packed.select(F.explode("ids").alias("id"))
    if not there.join(kept_before, on="id", how="left_anti").isEmpty():  # some were taken down
        hub.store.delete("vector_index", f"clusters = '{name}'")
    missing = kept_before.join(there, on="id", how="left_anti")
    if not missing.isEmpty():
        _append(hub, missing, search)
    packed = hub.store.table("vector_index").where(F.col("clusters") == name)
    return None if packed.isEmpty() else packed


def _append(hub: Hub, kept: DataFrame, search: "IvfIndex") -> None:
    from personahub.dedup import cosine_join  # here, because numba takes its time to import

    packed = cosine_join.pack(kept, search).withColumn("clusters", F.lit(_name(search.centroids)))
    hub.store.append(packed, "vector_index")


def _name(centroids: np.ndarray) -> str:
    return content_id(np.ascontiguousarray(centroids, "<f4").tobytes().hex())


def _clusters(config: Config) -> str:
    settings = config.dedup.semantic
    return f"{settings.clusters} {settings.seed} {scheme(config)}"


def _kept(hub: Hub, left: DataFrame) -> DataFrame:
    """id, vector of those that earlier batches kept: they have keys, and were not removed by their vectors."""
    table = hub.store.table
    kept = without(table("lexical_index").select(F.explode("persona_ids").alias("id")), "id", not_kept(table), left)
    mine = table("embeddings").where(
        F.col("final") & (F.col("model") == embeddings.model_key(hub.config)) & F.col("vector").isNotNull()
    )
    return mine.select(F.col("text_id").alias("id"), "vector").join(kept, on="id", how="left_semi")


def _search(hub: Hub, rows: DataFrame, kept_before: DataFrame) -> "tuple[IvfIndex, int]":
    """Where they are compared, and on how many vectors that was trained: 0 for the clusters of an earlier batch."""
    from personahub.dedup import ivf_index  # here, because numba takes its time to import

    old = kept_before.count()
    total = rows.count() + old
    stored = hub.store.table("vector_centroids").where(F.col("scheme") == _clusters(hub.config)).toArrow()
    newest = max(stored["trained_on"].to_pylist(), default=0)
    if newest and old and total < OUTGROWN * newest:
        stored = stored.filter(pc.equal(stored["trained_on"], newest)).sort_by("cluster")
        centroids = np.stack(stored["vector"].to_numpy()).astype(np.float32)
        return ivf_index.prepare(rows, hub.config.dedup.semantic, kept_before, centroids), 0
    return ivf_index.prepare(rows, hub.config.dedup.semantic, kept_before if old else None), total
