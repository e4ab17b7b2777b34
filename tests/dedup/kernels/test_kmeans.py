"""Clusters and homes against their definitions, worked out in float64."""

import numpy as np
import pytest
from topics import topics, unit

from personahub.dedup.kernels import kmeans


@pytest.fixture(scope="module")
def trained():
    rows = topics(600, 24, 1)
    return rows, kmeans.train(rows[:400], 15, 3, 2)


def test_training_gives_unit_centroids_the_same_each_time_and_better_than_chance(trained):
    rows, centroids = trained
    assert centroids.dtype == np.float32
    assert np.linalg.norm(centroids.astype(np.float64), axis=1) == pytest.approx(1, abs=1e-6)
    assert (kmeans.train(rows[:400], 15, 3, 2) == centroids).all()
    assert not (kmeans.train(rows[:400], 15, 4, 2) == centroids).all()
    start = kmeans.train(rows[:400], 15, 3, 2, rounds=0)
    best = [(unit(rows[:400]) @ each.T.astype(np.float64)).max(axis=1).mean() for each in (start, centroids)]
    assert best[1] > best[0] + 0.05


def test_a_cluster_that_runs_empty_starts_again_far_from_the_others():
    same = np.tile(np.array([[0.6, 0.0, 0.0]], np.float32), (30, 1))
    others = np.array([[0.0, 0.7, 0.0], [0.0, 0.0, 0.8]], np.float32)
    rows = np.concatenate([same, others])
    for seed in range(3):  # most start from equal vectors
        centroids = kmeans.train(rows, 3, seed, 0.9)
        assert len(set(kmeans.assignments(rows, centroids)[-3:].tolist())) == 3


def test_more_clusters_than_vectors_and_opposite_vectors_do_no_harm():
    rows = np.array([[0.5, 0.0], [-0.5, 0.0]], np.float32)
    assert len(kmeans.train(rows, 9, 1, 0.9)) == 2
    assert np.isfinite(kmeans.train(rows, 1, 1, 0.9)).all()


def test_a_family_of_near_duplicates_is_not_cut_into_clusters():
    draw = np.random.default_rng(1)
    noise = 0.5 * draw.standard_normal((300, 40)) / 40**0.5
    family = (noise + 0.5 * np.eye(1, 40)).astype(np.float32)  # two of them are at a cosine of about 0.5
    others = topics(300, 40, 2, topics=20, spread=0.3)
    for threshold, expected in ((0.4, 1), (0.6, 8)):
        centroids = kmeans.train(np.concatenate([family * np.float32(0.7), others]), 30, 1, threshold)
        clusters = np.unique(kmeans.assignments(family, centroids))
        assert len(clusters) == 1 if expected == 1 else len(clusters) >= expected
        assert len(np.unique(kmeans.assignments(others, centroids))) > 10
    equal = np.tile(family[:1], (50, 1))
    assert len(kmeans.train(equal, 10, 1, 0.9)) == 1


def test_home_is_the_nearest_whatever_the_batch(trained):
    rows, centroids = trained
    home = kmeans.assignments(rows, centroids)
    assert home.tolist() == (unit(rows) @ centroids.T.astype(np.float64)).argmax(axis=1).tolist()
    one_by_one = [int(kmeans.assignments(rows[i : i + 1], centroids)[0]) for i in range(100)]
    assert home[:100].tolist() == one_by_one


def test_ties_go_to_the_lower_number():
    centroids = np.eye(4, dtype=np.float32)[[2, 0, 1, 0, 1]]
    rows = np.array([[0.5, 0.5, 0, 0], [0, 0.6, 0, 0], [0, 0, 0, 0.9]], np.float32)
    assert kmeans.assignments(rows, centroids).tolist() == [1, 2, 0]


def test_groups_hold_near_clusters_and_about_the_same_weight(trained):
    rows, centroids = trained
    weights = np.bincount(kmeans.assignments(rows, centroids), minlength=len(centroids)).astype(float)
    for count in (1, 3, 4):
        groups = kmeans.groups(centroids, weights, count)
        shares = np.bincount(groups, weights)
        assert len(shares) == count
        assert shares.max() < 2 * weights.sum() / count
    assert sorted(kmeans.groups(centroids, weights, 99).tolist()) == list(range(len(centroids)))
    same = np.tile(centroids[:1], (5, 1))
    assert len(set(kmeans.groups(same, np.ones(5), 2).tolist())) == 2
