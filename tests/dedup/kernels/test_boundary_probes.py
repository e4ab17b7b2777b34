"""Visits against their definition, worked out in float64."""

import numpy as np
import pytest
from topics import topics, unit

from personahub.dedup.kernels import boundary_probes, kmeans, vectors


@pytest.fixture(scope="module")
def trained():
    rows = topics(600, 24, 1)
    return rows, kmeans.train(rows[:400], 15, 3, 2)


def planes(rows, centroids):
    """float64[n, k]: how far each row, as a unit vector, is from the plane between its home and each other centroid."""
    scores = unit(rows) @ centroids.T.astype(np.float64)
    home = scores.argmax(axis=1)
    wide = centroids.astype(np.float64)
    apart = np.linalg.norm(wide[home][:, None] - wide, axis=2)
    away = (scores.max(axis=1)[:, None] - scores) / np.where(apart, apart, 1)
    away[np.arange(len(rows)), home] = -1
    return away


def test_a_vector_visits_its_home_and_the_clusters_whose_boundary_is_near(trained):
    rows, centroids = trained
    away = planes(rows, centroids)
    margin = float(np.quantile(away[away >= 0], 0.1))
    starts, clusters = boundary_probes.visits(rows, centroids, boundary_probes.centroid_distances(centroids), margin)
    for row in range(len(rows)):
        mine = clusters[starts[row] : starts[row + 1]].tolist()
        near = set(np.flatnonzero(away[row] <= margin).tolist())
        home = int(away[row].argmin())
        assert mine[0] == home
        assert mine[1:] == sorted(mine[1:])
        assert set(mine) == near
    assert 1.5 < len(clusters) / len(rows) < 5


def test_the_margin_gives_as_many_visits_as_are_asked_for(trained):
    rows, centroids = trained
    held = rows[400:]
    for probes in (1, 2, 4):
        margin = boundary_probes.margin(held, centroids, probes, 0.5)
        _, clusters = boundary_probes.visits(held, centroids, boundary_probes.centroid_distances(centroids), margin)
        assert len(clusters) / len(held) == pytest.approx(probes, abs=0.02)


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.95])
def test_with_the_greatest_margin_no_pair_is_missed(trained, threshold):
    rows, centroids = trained
    moved = rows[:200] + 0.05 * np.random.default_rng(2).standard_normal((200, rows.shape[1])).astype(np.float32)
    rows = np.concatenate([rows, moved * np.float32(0.6)])
    margin = boundary_probes.margin(rows, centroids, len(centroids), threshold)
    assert margin == pytest.approx(np.sin(np.arccos(threshold)))
    starts, clusters = boundary_probes.visits(rows, centroids, boundary_probes.centroid_distances(centroids), margin)
    visits = np.zeros((len(rows), len(centroids)), np.bool_)
    visits[np.repeat(np.arange(len(rows)), np.diff(starts)), clusters] = True
    home = clusters[starts[:-1]]
    low, high = np.nonzero(np.triu(unit(rows) @ unit(rows).T >= threshold, 1))
    assert len(low) > 50
    assert (visits[low, home[high]] & visits[high, home[low]]).all()
    assert visits.mean() < 1


def test_equal_centroids_share_a_boundary_with_all_that_is_theirs():
    centroids = np.eye(3, dtype=np.float32)[[0, 0, 1]]
    rows = np.array([[0.9, 0.1, 0.0]], np.float32)
    _, clusters = boundary_probes.visits(rows, centroids, boundary_probes.centroid_distances(centroids), 0.01)
    assert clusters.tolist() == [0, 1]


def test_a_vector_is_spread_once_over_each_group_it_visits():
    starts, clusters = np.array([0, 3, 4, 8]), np.array([4, 0, 1, 2, 3, 0, 1, 4], np.int32)
    groups = np.array([70, 80, 70, 80, 90], np.int32)
    row, group, ends, places = boundary_probes.spread(starts, clusters, groups)
    copies = {(int(row[i]), int(group[i])): places[ends[i] : ends[i + 1]].tolist() for i in range(len(row))}
    assert copies == {(0, 90): [~4], (0, 70): [0], (0, 80): [1], (1, 70): [~2], (2, 80): [~3, 1], (2, 70): [0], (2, 90): [4]}
    assert len(row) == len(copies)


def test_no_vectors_make_no_visits(trained):
    _, centroids = trained
    none = np.empty((0, centroids.shape[1]), np.float32)
    starts, clusters = boundary_probes.visits(none, centroids, boundary_probes.centroid_distances(centroids), 0.1)
    assert starts.tolist() == [0]
    assert len(clusters) == len(kmeans.assignments(none, centroids)) == 0
    assert vectors.squared_lengths(none).shape == (0,)
