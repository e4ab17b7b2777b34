"""Rounds in Spark and on the driver against the greedy kernel."""

import random

import numpy as np
import pytest

from personahub.dedup import greedy_rounds
from personahub.dedup.kernels import greedy_mis

PAIRS = "row {id}, row_level int, earlier {id}, earlier_level int, score double, truncated boolean"


def a_graph(seed, n=60, edges=150, max_pairs=None):
    """Rows with a level and an id whose orders disagree, pairs among them, and the rows in priority order."""
    draw = random.Random(seed)
    rows = [(draw.randrange(3), f"{draw.randrange(16**8):08x}") for _ in range(n)]
    order = sorted(rows)
    pairs = {tuple(sorted(draw.sample(range(n), 2), reverse=True)) for _ in range(edges)}
    found = []
    for low in range(n):
        highs = sorted(high for at, high in pairs if at == low)
        found += [(low, high, at + 1 == max_pairs < len(highs)) for at, high in enumerate(highs[:max_pairs])]
    return order, pairs, draw.sample(found, len(found))


def found_frame(spark, order, found):
    rows = [(order[a][1], order[a][0], order[b][1], order[b][0], score(a, b), cut) for a, b, cut in found]
    return spark.createDataFrame(rows, PAIRS.format(id="string"))


def score(low, high):
    return 0.9 + 0.1 / (low + high)


def expected(order, pairs):
    """By id: (duplicate_of, score), by the kernel, from whole lists."""
    low, high = (np.array(side) for side in zip(*sorted(pairs), strict=True))
    duplicate_of, _, _ = greedy_mis.decide(len(order), low, high, np.zeros(len(low), np.bool_))
    return {order[row][1]: (order[by][1], score(row, by)) for row, by in enumerate(duplicate_of) if by >= 0}


def test_rounds_of_joins_give_the_rows_of_the_driver(spark, materialise, monkeypatch):
    order, pairs, found = a_graph(seed=1, n=20, edges=30, max_pairs=2)
    results = []
    for few in (greedy_rounds.DRIVER_PAIRS, 0):
        monkeypatch.setattr(greedy_rounds, "DRIVER_PAIRS", few)
        removed, pending, last = greedy_rounds.decide(found_frame(spark, order, found), 3, materialise, f"few-{few}")
        results.append(({tuple(row) for row in removed.collect()}, {row.id for row in pending.collect()}, last))
    assert results[0][:2] == results[1][:2]
    removed, waiting, last = results[0]
    assert waiting
    assert {4, last} <= {number for *_, number in removed}
    truth = expected(order, pairs)
    assert {name: (by, at) for name, by, at, _ in removed} == {row[0]: truth[row[0]] for row in removed}


@pytest.mark.parametrize("few", [greedy_rounds.DRIVER_PAIRS, 10])
def test_cut_lists_are_asked_for_again_until_nothing_is_open(spark, materialise, monkeypatch, few):
    monkeypatch.setattr(greedy_rounds, "DRIVER_PAIRS", few)
    order, pairs, found = a_graph(seed=2, n=16, edges=60, max_pairs=2)
    asked = []

    def search(removed, pending, max_pairs):
        gone, waiting = ({row.id for row in frame.collect()} for frame in (removed, pending))
        assert waiting
        assert not gone & waiting
        asked.append(max_pairs)
        position = {name: at for at, (_, name) in enumerate(order)}
        left = [
            (low, sorted(high for at, high in pairs if at == low and order[high][1] not in gone))
            for low in (position[name] for name in waiting)
        ]
        return found_frame(
            spark, order, [(low, high, at == 1 < len(highs) - 1) for low, highs in left for at, high in enumerate(highs[:2])]
        )

    removed = greedy_rounds.resolve(found_frame(spark, order, found), 2, search, materialise, "cut").collect()
    assert {row.id: (row.duplicate_of, row.score) for row in removed} == expected(order, pairs)
    assert asked == [2 * 8 ** (time + 1) for time in range(len(asked))]


def test_without_pairs_nobody_is_removed_and_ids_keep_their_type(spark, materialise):
    empty = spark.createDataFrame([], PAIRS.format(id="long"))
    removed = greedy_rounds.resolve(empty, 8, pytest.fail, materialise, "none")
    assert removed.schema.simpleString() == "struct<id:bigint,duplicate_of:bigint,score:double,round:int>"
    assert removed.collect() == []
