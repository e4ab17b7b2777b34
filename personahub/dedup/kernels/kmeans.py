"""Spherical k-means, trained on a sample, and the home of a vector: the cluster of the nearest centroid.

BLAS only proposes: near ties are decided in float64 by sums in a fixed order, so that the home of a vector depends neither on its batch nor
on the number of threads or the machine.
"""

from collections.abc import Iterator

import numpy as np

from personahub.dedup.kernels import compiled
from personahub.dedup.kernels.vectors import dot, error_bound, squared_lengths

BLOCK = 1024  # vectors that are compared with all centroids at once
ROUNDS = 4  # after which few vectors still move


def train(sample: np.ndarray, clusters: int, seed: int, threshold: float, rounds: int = ROUNDS) -> np.ndarray:
    """float32[n, d] of `vectors.from_arrow`, n > 0 -> float32[k, d], k at most `clusters` and n: centroids of unit length.

    The same rows in the same order give the same bits. Starts from vectors drawn by `seed`; an empty cluster starts again from one of the
    vectors farthest from their centroid. At last clusters whose vectors are near-duplicates of each other are joined: else a family of
    similar vectors would be cut into many, and pairs between them be missed.
    """
    clusters = min(clusters, len(sample))
    start = np.sort(np.random.default_rng(seed).choice(len(sample), clusters, replace=False))
    lengths = np.sqrt(squared_lengths(sample))
    sums, sizes = sample[start] / lengths[start, None], np.ones(clusters, np.int64)
    for _ in range(rounds):
        centroids = _unit(sums)
        sums, similarity, sizes = _sums(sample, lengths, assignments(sample, centroids), centroids)
        empty = np.flatnonzero(sizes == 0)
        far = np.argsort(similarity, kind="stable")[: len(empty)]
        sums[empty], sizes[empty] = sample[far] / lengths[far, None], 1
    return _unit(_united(sums, sizes, threshold))


def assignments(vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """float32[n, d] of at most unit length -> int32[n]: the nearest centroid; ties: the lower number."""
    out = np.empty(len(vectors), np.int32)
    for rows, scores in blocks(vectors, centroids):
        out[rows] = nearest(scores, vectors[rows], centroids)
    return out


def groups(centroids: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """int32[k]: at most `count` groups of clusters near each other, of about equal weight.

    All clusters are halved, and the halves again, along the axis in which they differ most.
    """
    out, made, left = np.zeros(len(centroids), np.int32), 0, [(np.arange(len(centroids)), count)]
    while left:
        clusters, parts = left.pop()
        if parts == 1 or len(clusters) == 1:
            out[clusters] = made
            made += 1
            continue
        ordered = clusters[np.argsort(_along(centroids[clusters].astype(np.float64)), kind="stable")]
        share = np.cumsum(weights[ordered])
        cut = int(np.clip(np.searchsorted(share, share[-1] * (parts // 2) / parts) + 1, 1, len(ordered) - 1))
        left += [(ordered[:cut], parts // 2), (ordered[cut:], parts - parts // 2)]
    return out


def _along(rows: np.ndarray) -> np.ndarray:
    """The coordinate of each row on the first principal axis, by some power iterations."""
    rows = rows - rows.mean(axis=0)
    axis = rows[np.argmax(np.einsum("nd,nd->n", rows, rows))]
    for _ in range(20):
        axis = rows.T @ (rows @ axis)
        axis /= max(float(np.linalg.norm(axis)), 1e-30)
    return rows @ axis


def _united(sums: np.ndarray, sizes: np.ndarray, threshold: float) -> np.ndarray:
    """The sums of unit vectors, added where the mean cosine over all pairs between two clusters reaches `threshold`, largest first."""
    means = sums / sizes[:, None]
    alike = means @ means.T >= threshold
    free, united = np.ones(len(sums), np.bool_), []
    for leader in np.argsort(-sizes, kind="stable"):
        if free[leader]:
            mine = alike[leader] & free
            mine[leader] = True
            united.append(sums[mine].sum(axis=0))
            free &= ~mine
    return np.array(united)


def _unit(rows: np.ndarray) -> np.ndarray:
    """float64 rows -> float32 rows of length 1. A row of zeros, the mean of opposites, becomes an axis."""
    lengths = np.sqrt(squared_lengths(rows))
    rows[lengths == 0, 0] = 1
    lengths[lengths == 0] = 1
    return (rows / lengths[:, None]).astype(np.float32)


@compiled
def _sums(sample, lengths, home, centroids):
    """Of each cluster: the sum of its unit vectors, in the order of the sample, and their number; of each vector: its cosine to home."""
    sums = np.zeros(centroids.shape)
    sizes = np.zeros(len(centroids), np.int64)
    similarity = np.empty(len(sample))
    for row in range(len(sample)):
        similarity[row] = dot(sample[row], centroids[home[row]]) / lengths[row]
        sizes[home[row]] += 1
        target = sums[home[row]]
        for i in range(len(target)):
            target[i] += sample[row, i] / lengths[row]
    return sums, similarity, sizes


def blocks(vectors: np.ndarray, centroids: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Rows, and their float32 scores with all centroids. The scores are overwritten by the next block's."""
    room = np.empty(BLOCK * len(centroids), np.float32)
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK]
        scores = room[: len(block) * len(centroids)].reshape(len(block), len(centroids))
        yield slice(start, start + BLOCK), np.matmul(block, centroids.T, out=scores)


def nearest(scores: np.ndarray, vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """`assignments` by given float32 scores."""
    home = scores.argmax(axis=1).astype(np.int32)
    _settle(scores, vectors, centroids, np.float32(2 * error_bound(vectors.shape[1])), home)
    return home


@compiled
def _settle(scores, vectors, centroids, margin, home):
    """Decides in float64 where another float32 score is within `margin` of the best."""
    for row in range(len(scores)):
        line = scores[row]
        lowest, close = line[home[row]] - margin, np.int32(0)
        for cluster in range(len(line)):  # without a branch, so that it runs at the processor's width
            close += np.int32(line[cluster] >= lowest)
        if close > 1:
            best = -np.inf
            for cluster in range(len(line)):
                if line[cluster] >= lowest:
                    score = dot(vectors[row], centroids[cluster])
                    if score > best:
                        best, home[row] = score, cluster
