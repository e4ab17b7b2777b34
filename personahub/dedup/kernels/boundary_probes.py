"""The clusters that a vector visits, to be compared in them: its home, and those whose boundary is near (closure assignment, as in SPANN:
Chen et al., NeurIPS 2021).

A neighbour of a vector may have its home behind a boundary, the plane between two centroids. The distance of that plane tells how likely
this is; the mere rank of a centroid does not. As in kmeans, BLAS only proposes.
"""

import numpy as np

from personahub.dedup.kernels import compiled
from personahub.dedup.kernels.kmeans import BLOCK, assignments, blocks, nearest
from personahub.dedup.kernels.vectors import dot, error_bound, squared_lengths


def centroid_distances(centroids: np.ndarray) -> np.ndarray:
    """float32[k, k]: how far the centroids are from each other."""
    wide = centroids.astype(np.float64)
    squared = np.einsum("kd,kd->k", wide, wide)
    return np.sqrt(np.maximum(0, squared[:, None] + squared - 2 * (wide @ wide.T))).astype(np.float32)


def margin(vectors: np.ndarray, centroids: np.ndarray, probes: float, threshold: float) -> float:
    """How near a boundary must be for a visit: so near that these vectors are in `probes` clusters each, on average, home included.

    vectors: best none that the centroids were trained on, as these are farther from boundaries. At most the sine of the threshold's angle:
    no neighbour is behind a boundary farther away than that.
    """
    sine = float(np.sqrt(max(0.0, 1 - threshold * threshold)))
    visits = round((probes - 1) * len(vectors))
    if len(centroids) <= probes or visits >= len(vectors) * (len(centroids) - 1):
        return sine
    home = assignments(vectors, centroids)
    wide = vectors.astype(np.float64)
    scores = wide @ centroids.T.astype(np.float64)
    rows = np.arange(len(vectors))
    ahead = (scores[rows, home][:, None] - scores) / np.sqrt(np.einsum("nd,nd->n", wide, wide))[:, None]
    away = ahead / np.maximum(centroid_distances(centroids)[home], 1e-6)
    away[rows, home] = np.inf
    limit = np.partition(away.ravel(), visits - 1)[visits - 1] if visits else 0.0
    return min(sine, max(0.0, round(float(limit), 6)))  # rounded: the last bits are BLAS's


def visits(vectors: np.ndarray, centroids: np.ndarray, apart: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """(starts int64[n + 1], clusters int32): those of vector i are clusters[starts[i]:starts[i + 1]], home first, then by number.

    apart: `centroid_distances`; margin: see there.
    """
    slack = 2 * error_bound(vectors.shape[1])
    reach = margin * np.sqrt(squared_lengths(vectors))
    counts, parts = np.zeros(len(vectors) + 1, np.int64), []
    room = np.empty(BLOCK * len(centroids), np.int32)
    for rows, scores in blocks(vectors, centroids):
        block, own = vectors[rows], nearest(scores, vectors[rows], centroids)
        used = _visits(scores, block, own, centroids, apart, reach[rows], slack, room, counts[1:][rows])
        parts.append(room[:used].copy())
    return np.cumsum(counts), np.concatenate(parts) if parts else np.empty(0, np.int32)


@compiled
def spread(starts, clusters, groups):
    """The `visits` of some vectors, by groups of clusters -> (row, group, starts, places): a copy for each group that a vector visits.

    Copy i is of vector row[i], for the clusters places[starts[i]:starts[i + 1]] of group[i]; the vector's home is written ~cluster.
    """
    room = len(clusters)
    row, group = np.empty(room, np.int32), np.empty(room, np.int32)
    ends, places = np.zeros(room + 1, np.int32), np.empty(room, np.int32)
    copies, used = 0, 0
    for vector in range(len(starts) - 1):
        first, last = starts[vector], starts[vector + 1]
        for i in range(first, last):
            mine, seen = groups[clusters[i]], False
            for earlier in range(first, i):
                seen |= groups[clusters[earlier]] == mine
            if seen:
                continue
            for j in range(i, last):
                if groups[clusters[j]] == mine:
                    places[used] = ~clusters[j] if j == first else clusters[j]
                    used += 1
            row[copies], group[copies] = vector, mine
            copies += 1
            ends[copies] = used
    return row[:copies], group[:copies], ends[: copies + 1], places


@compiled
def _visits(scores, vectors, home, centroids, apart, reach, slack, clusters, counts):
    """Fills `clusters`, row by row, and `counts`; returns their number. slack: the error of a difference of two scores."""
    used, near = 0, np.empty(scores.shape[1], np.bool_)
    for row in range(len(scores)):
        own, line, distance = home[row], scores[row], apart[home[row]]
        before = used
        clusters[used] = own
        used += 1
        lowest = np.float32(line[own] - slack)
        max_reach = np.float32(reach[row] * 1.000001)
        for cluster in range(len(line)):  # lets too many through; without a branch, so that it runs at the processor's width
            near[cluster] = lowest - line[cluster] <= max_reach * distance[cluster]
        for cluster in range(len(line)):
            if not near[cluster] or cluster == own:
                continue
            ahead, limit = np.float64(line[own]) - np.float64(line[cluster]), reach[row] * distance[cluster]
            if abs(ahead - limit) <= slack + limit * 1e-6:
                ahead = dot(vectors[row], centroids[own]) - dot(vectors[row], centroids[cluster])
                limit = reach[row] * np.sqrt(_squared_distance(centroids[own], centroids[cluster]))
            if ahead <= limit:
                clusters[used] = cluster
                used += 1
        counts[row] = used - before
    return used


@compiled
def _squared_distance(left, right):
    total = 0.0
    for i in range(len(left)):
        difference = np.float64(left[i]) - np.float64(right[i])
        total += difference * difference
    return total
