"""Vectors in Spark against two loops over all of them."""

import math

import numpy as np
import pytest

from personahub.config import SemanticDedup
from personahub.dedup import cosine_join, ivf_index

CONFIG = SemanticDedup(enabled=True, threshold=0.8, clusters=12, probes=4)
DIMENSION = 12


def some_rows(count, seed, level=None):
    """(id, level, vector): rows about some directions, the ids in no order; every tenth equal to another."""
    draw = np.random.default_rng(seed)
    made = draw.standard_normal((9, DIMENSION))[draw.integers(0, 9, count)] + 0.45 * draw.standard_normal((count, DIMENSION))
    made[::10] = made[1]
    ids = draw.permutation(count) + 1000 * seed
    levels = draw.integers(1, 4, count) if level is None else np.full(count, level)
    return [(f"{a:06d}", int(b), each.astype(np.float32).tolist()) for a, b, each in zip(ids, levels, made, strict=True)]


def true_pairs(rows, hub=()):
    """{(low, high): score} of all pairs, the hub's among themselves left out."""
    everyone = sorted([*rows, *((id_, 0, vector) for id_, vector in hub)], key=lambda row: (row[1], row[0]))
    unit = np.array([row[2] for row in everyone])
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    scores = unit @ unit.T
    pairs = [(low, high) for low, high in np.argwhere(np.tril(scores >= CONFIG.threshold, -1)) if everyone[low][1] > 0]
    return {(everyone[low][0], everyone[high][0]): scores[low, high] for low, high in pairs}


def frame(spark, rows, kind="float"):
    return spark.createDataFrame(rows, f"id string, level int, vector array<{kind}>")


@pytest.fixture(scope="module")
def rows(spark, tmp_path_factory):
    """400 rows, in files, so that each job reads them anew."""
    folder = str(tmp_path_factory.mktemp("rows"))
    frame(spark, some_rows(400, 1)).coalesce(1).write.mode("overwrite").parquet(folder)
    return spark.read.parquet(folder)


@pytest.fixture(scope="module")
def prepared(rows):
    return ivf_index.prepare(rows, CONFIG)


def test_pairs_are_found_with_their_scores_and_in_any_partitioning(rows, prepared):
    shuffled = rows.repartition(5, "vector").sortWithinPartitions("vector")
    again = ivf_index.prepare(shuffled, CONFIG)
    assert (again.centroids == prepared.centroids).all()
    assert again.margin == prepared.margin
    results = [cosine_join.similar_pairs(each, prepared, CONFIG.threshold, max_pairs=400).collect() for each in (rows, shuffled)]
    assert sorted(results[0]) == sorted(results[1])
    found = {(row.row, row.earlier): row.score for row in results[0]}
    expected = true_pairs(some_rows(400, 1))
    assert found.keys() <= expected.keys()
    assert len(found) > 0.98 * len(expected) > 1000
    assert all(score == pytest.approx(expected[pair], abs=1e-12) for pair, score in found.items())
    levels = {id_: level for id_, level, _ in some_rows(400, 1)}
    assert all(
        row[1::2][:2] == (levels[row.row], levels[row.earlier]) and not row.identical and row.refused is None
        for row in results[0]
    )


def test_a_list_stops_at_most_pairs_and_says_so(rows, prepared):
    found = cosine_join.similar_pairs(rows, prepared, CONFIG.threshold, max_pairs=2).collect()
    expected = true_pairs(some_rows(400, 1))
    assert {(row.row, row.earlier) for row in found} <= expected.keys()
    assert any(row.truncated for row in found)
    above = {}
    for low, high in expected:
        above.setdefault(low, []).append(high)
    lists = {}
    for row in found:
        lists.setdefault(row.row, []).append(row)
    assert all(
        any(row.truncated for row in lists[low]) for low, highs in above.items() if len(highs) > 2 and len(lists[low]) == 2
    )


def test_the_hub_stands_above_all_and_its_pairs_are_its_own_affair(spark):
    hub = [(id_, vector) for id_, _, vector in some_rows(150, 2)]
    new = [*some_rows(100, 1, level=1), (hub[3][0], 1, hub[3][1])]  # one that is in the hub already
    hub_frame = spark.createDataFrame([*hub, ("broken", None)], "id string, vector array<double>")
    prepared = ivf_index.prepare(frame(spark, new), CONFIG, hub_frame)
    packed = cosine_join.pack(hub_frame, prepared)
    assert sorted(name for row in packed.collect() for name in row.ids) == sorted(name for name, _ in hub)
    rows = cosine_join.similar_pairs(frame(spark, new), prepared, CONFIG.threshold, packed).collect()
    expected = true_pairs(new[:-1], hub)
    found = {(row.row, row.earlier) for row in rows if row.row != hub[3][0]}
    assert found <= expected.keys()
    assert len(found) > 0.98 * len(expected)
    assert all(row.row != row.earlier and row.row_level == 1 and row.refused is None for row in rows)
    assert {row.earlier_level for row in rows} == {0, 1}
    later = ivf_index.prepare(frame(spark, new), CONFIG, hub_frame, prepared.centroids)
    assert later.centroids is prepared.centroids


def test_vectors_that_can_not_be_compared_are_told_with_the_reason(spark):
    good = [(f"g{i}", 1, [1.0 + i / 100, 1.0, 0.0]) for i in range(3)]
    bad = {
        "null": (None, "no_vector"),
        "empty": ([], "no_vector"),
        "short": ([1.0], "vector_dimension"),
        "nan": ([1.0, math.nan, 0.0], "vector_not_finite"),
        "hole": ([1.0, None, 0.0], "vector_not_finite"),
        "zero": ([0.0, 0.0, 0.0], "vector_zero"),
    }
    given = frame(spark, good + [(id_, 1, vector) for id_, (vector, _) in bad.items()], "double")
    rows = cosine_join.similar_pairs(given, ivf_index.prepare(given, SemanticDedup()), 0.9).collect()
    assert {row.row: row.refused for row in rows if row.earlier is None} == {id_: reason for id_, (_, reason) in bad.items()}
    assert {(row.row, row.earlier) for row in rows if row.refused is None} == {("g1", "g0"), ("g2", "g0"), ("g2", "g1")}


def test_nothing_to_compare_is_no_error(spark):
    given = frame(spark, [("a", 1, None)])
    prepared = ivf_index.prepare(given, SemanticDedup())
    assert [row.refused for row in cosine_join.similar_pairs(given, prepared, 0.9).collect()] == ["no_vector"]
    assert len(ivf_index.prepare(given.limit(0), SemanticDedup()).centroids) == 1


@pytest.mark.spark
def test_each_group_has_a_partition_of_its_own(spark):
    keys = ivf_index._keys(spark, 13)
    frame = spark.createDataFrame([(key,) for key in keys for _ in range(3)], "key int").repartition(13, "key")
    rows = frame.selectExpr("key", "spark_partition_id() AS partition").distinct().collect()
    assert sorted(row.partition for row in rows) == list(range(13))
    assert {row.key: row.partition for row in rows} == {key: at for at, key in enumerate(keys)}
