"""An inverted file index for vectors: clusters trained on a sample, how near a boundary must be for a visit, and groups of clusters."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from personahub.config import SemanticDedup
from personahub.dedup.kernels import boundary_probes, kmeans, vectors

ONE_CLUSTER = 4_000  # vectors that are all compared with all
PER_CLUSTER, HELD_OUT, MAX_SAMPLED = 20, 2_048, 50_000  # vectors to train a cluster on, to set the margin by, and in all
MAX_CLUSTERS = 4_096  # that `auto` makes
HUB_PROBES = 3  # a hub's vectors visit no other cluster; a new one, which must find them alone, visits so many times more
GROUP_BYTES, MIN_GROUPS = 96 << 20, 4  # of vectors in one task
_HASHES = 1 << 30


@dataclass(frozen=True)
class IvfIndex:
    """centroids: float32[k, d], of unit length; margin: see kernels.boundary_probes; groups: int32[k], the key of the group of each
    cluster; partitions: the number of these keys.
    """

    centroids: np.ndarray
    margin: float
    groups: np.ndarray
    partitions: int

    @property
    def dimension(self) -> int:
        return self.centroids.shape[1]


def prepare(
    rows: DataFrame, config: SemanticDedup, hub: DataFrame | None = None, centroids: np.ndarray | None = None
) -> IvfIndex:
    """Rows (id, vector), those of the hub (id, vector), and its centroids, if it has some -> the index of all of them.

    Counts the rows and collects a sample of vectors. The same rows give the same clusters, however they are partitioned.
    """
    new_count, old_count = rows.count(), hub.count() if hub is not None else 0
    clusters = _clusters(config, new_count + old_count)
    share = 0.0 if centroids is not None else min(MAX_SAMPLED, PER_CLUSTER * clusters) / max(1, new_count + old_count)
    tables = [_drawn(rows, "vector", share + HELD_OUT / max(1, new_count), config.seed)]
    if hub is not None and centroids is None:
        tables.append(_drawn(hub, "vector", share, config.seed))
    lists = [table["vector"].combine_chunks() for table in tables]
    dimension = centroids.shape[1] if centroids is not None else _usual_length(lists)
    samples = [vectors.from_arrow(each, dimension)[0] for each in lists]
    held = samples[0][:HELD_OUT]
    if centroids is None:
        held = held[: len(samples[0]) // 4]
        trained = np.concatenate([samples[0][len(held) :], *samples[1:]])
        centroids = kmeans.train(_or_any(trained), clusters, config.seed, config.threshold)
    probes = config.probes * (HUB_PROBES if hub is not None else 1)
    margin = boundary_probes.margin(_or_any(held), centroids, probes, config.threshold)
    return IvfIndex(centroids, margin, *_groups(rows.sparkSession, centroids, samples[0], new_count + old_count))


def _clusters(config: SemanticDedup, total: int) -> int:
    if config.clusters != "auto":
        return config.clusters
    return 1 if total <= ONE_CLUSTER else min(MAX_CLUSTERS, round(1.5 * total**0.5))


def _drawn(rows: DataFrame, column: str, share: float, seed: int) -> pa.Table:
    """Rows (id, `column`) -> about `share` of them, chosen and sorted by a hash of the id."""
    hashed = rows.select("id", column, F.pmod(F.xxhash64("id", F.lit(seed)), F.lit(_HASHES)).alias("hash"))
    table = hashed.where(F.col("hash") < F.lit(round(share * _HASHES))).toArrow()
    return table.sort_by([("hash", "ascending"), ("id", "ascending")])


def _usual_length(lists: list[pa.Array]) -> int:
    """The length of most vectors, 1 if none has any numbers; of two lengths as frequent as each other, the greater."""
    lengths = np.concatenate([each.value_lengths().fill_null(0).to_numpy(zero_copy_only=False) for each in lists])
    counts = np.bincount(lengths[lengths > 0], minlength=2)
    return len(counts) - 1 - int(np.argmax(counts[:0:-1]))


def _or_any(sample: np.ndarray) -> np.ndarray:
    """The sample, or one vector where it is empty: then any clusters will do."""
    return sample if len(sample) else np.eye(1, sample.shape[1], dtype=np.float32)


def _groups(spark: SparkSession, centroids: np.ndarray, sample: np.ndarray, total: int) -> tuple[np.ndarray, int]:
    """The key of each cluster's group, and the number of groups."""
    count = max(MIN_GROUPS, -(-total * 2 * centroids.shape[1] * 4 // GROUP_BYTES))
    weights = np.bincount(kmeans.assignments(sample, centroids), minlength=len(centroids)) + 1.0
    groups = kmeans.groups(centroids, weights, count)
    partitions = int(groups.max()) + 1
    return np.array(_keys(spark, partitions), np.int32)[groups], partitions


def _keys(spark: SparkSession, partitions: int) -> list[int]:
    """Numbers that Spark's hash partitioning, which is F.hash modulo the partitions, sends to a partition each.

    By the numbers of the groups a third of the tasks would have nothing to do, and others the work of two or three.
    """
    key = F.col("id").cast("int")
    hashed = spark.range(32 * partitions).groupBy(F.pmod(F.hash(key), F.lit(partitions)).alias("partition"))
    found = {row.partition: row.key for row in hashed.agg(F.min(key).alias("key")).collect()}
    return [found.get(partition, partition) for partition in range(partitions)]
