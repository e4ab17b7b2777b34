"""The entries of all callers, in Spark, against the reference."""

import random

import numpy as np
import pytest
import reference
import samples

from personahub.config import LexicalDedup, SemanticDedup
from personahub.dedup import by_vectors, by_words, greedy_rounds, jaccard_join, represented, shared_keys

ROWS = samples.rows(250, 11)


def frame_of(spark, rows, partitions=1, kind="string"):
    return spark.createDataFrame(rows, f"level int, id {kind}, text string").repartition(partitions)


def verdicts(duplicates, rejects):
    """(by id: duplicate_of, method, score; the ids refused), each id being there once."""
    rows = duplicates.collect()
    removed = {row.id: (row.duplicate_of, row.method, row.score) for row in rows}
    assert len(removed) == len(rows)
    assert all(row.representative == reference.representative(removed, row.id) for row in rows)
    assert all((row.round == 0) == (row.method == "identical") for row in rows)
    return removed, {row.id: row.reason for row in rejects.collect()}


@pytest.mark.parametrize(
    ("partitions", "max_driver", "max_keys"),
    [(1, greedy_rounds.DRIVER_PAIRS, shared_keys.MAX_KEYS), (5, 10, shared_keys.MAX_KEYS), (5, 10, 0)],
)
def test_it_equals_the_reference_in_any_partitioning(spark, materialise, monkeypatch, partitions, max_driver, max_keys):
    monkeypatch.setattr(greedy_rounds, "DRIVER_PAIRS", max_driver)
    monkeypatch.setattr(shared_keys, "MAX_KEYS", max_keys)
    rows = random.Random(partitions).sample(ROWS, len(ROWS))
    removed, refused = verdicts(*by_words(frame_of(spark, rows, partitions), LexicalDedup(), materialise))
    assert removed == reference.deduplicate(ROWS, 0.9)
    assert set(refused.values()) == {"empty_text"}
    assert refused.keys() == {name for _, name, text in ROWS if not (text or "").strip(" ?!—")}


@pytest.mark.parametrize("method", ["minhash", "semantic"])
def test_the_verdicts_hang_neither_on_the_partitions_nor_on_the_order(spark, materialise, method):
    vectors = np.random.default_rng(5).standard_normal((300, 12)).astype(np.float32)
    vectors[1::2] = vectors[::2] + vectors[1::2] / 4
    answers = []
    for partitions in (1, 5):
        if method == "semantic":
            rows = [(f"{number:03}", number % 3, vector.tolist()) for number, vector in enumerate(vectors)]
            rows = random.Random(partitions).sample(rows, len(rows))
            frame = spark.createDataFrame(rows, "id string, level int, vector array<float>").repartition(partitions)
            by, config = by_vectors, SemanticDedup(enabled=True, threshold=0.8, clusters=12)
        else:
            frame = frame_of(spark, random.Random(partitions).sample(ROWS, len(ROWS)), partitions)
            by, config = by_words, LexicalDedup(method=method)
        duplicates, _ = by(frame, config, lambda frame, name, at=partitions: materialise(frame, f"{at}.{name}"))
        answers.append(sorted(duplicates.collect()))
    assert len(answers[0]) > 30
    assert answers[1] == answers[0]


def test_truncated_lists_are_decided_exactly_and_integers_are_ids(spark, materialise, monkeypatch):
    monkeypatch.setattr(jaccard_join, "MAX_PAIRS", 1)
    config = LexicalDedup(threshold=0.6)
    rows = [(level, int(name, 16), text) for level, name, text in samples.rows(150, 4, longest=9)]
    asked = []

    def write(frame, name):
        asked.append(name)
        return materialise(frame, name)

    removed, _ = verdicts(*by_words(frame_of(spark, rows, 3, "long"), config, write))
    assert removed == reference.deduplicate(rows, 0.6)
    assert any("open" in name for name in asked)


@pytest.mark.parametrize("method", ["exact", "minhash"])
def test_a_later_batch_meets_the_hub_and_overturns_nothing(spark, materialise, method):
    config = LexicalDedup(method=method)
    first, second = (
        ROWS[:150],
        [(1, f"0{name}", text) for _, name, text in ROWS[150:]],
    )  # of higher priority, were it not for the hub
    gone = reference.deduplicate(first, 0.9)
    hub = [(0, name, text) for _, name, text in first if name not in gone and (text or "").strip(" ?!—")]
    stored = materialise(jaccard_join.to_index(frame_of(spark, hub), config), "stored")
    removed, refused = verdicts(*by_words(frame_of(spark, second, 3), config, materialise, stored))
    expected = reference.deduplicate(second, 0.9, decided=hub)
    assert {name: (by, score) for name, (by, _, score) in removed.items()} == {
        name: (by, score) for name, (by, _, score) in expected.items()
    }
    assert any(by in {name for _, name, _ in hub} for by, *_ in removed.values())
    assert refused == {name: "empty_text" for _, name, text in second if not (text or "").strip(" ?!—")}


def test_a_representative_is_kept_where_words_and_vectors_make_a_chain(spark, materialise):
    """A is the same as b, b near c by words, c near d by vectors."""
    words = "one two three four five six seven eight nine ten eleven twelve"
    made = [
        ("a", 4, words.upper(), [0.0, 1.0]),
        ("b", 3, words, [0.0, 1.0]),
        ("c", 2, f"{words} thirteen", [1.0, 0.1]),
        ("d", 1, "a poet", [1.0, 0.0]),
    ]
    rows = spark.createDataFrame(made, "id string, level int, text string, vector array<float>")
    near, _ = by_words(rows, LexicalDedup(threshold=0.9), materialise)
    left = rows.join(near.select("id"), on="id", how="left_anti")
    more, _ = by_vectors(left, SemanticDedup(enabled=True), materialise)
    duplicates = represented(near, more).unionByName(more)
    found = {(row.id, row.duplicate_of, row.representative, row.method) for row in duplicates.collect()}
    assert found == {("a", "b", "d", "identical"), ("b", "c", "d", "exact"), ("c", "d", "d", "semantic")}
    scores = {row.id: row.score for row in duplicates.collect()}
    assert (scores["a"], scores["b"]) == (1.0, 12 / 13)


def test_the_scheme_names_what_stored_keys_must_share():
    exact = LexicalDedup()
    assert jaccard_join.scheme(exact) == jaccard_join.scheme(LexicalDedup(num_perm=64, seed=5, min_recall=0.5))
    minhash = LexicalDedup(method="minhash")
    assert jaccard_join.scheme(minhash) == "3 minhash 0.9 word 1 128 16x8 1"
    others = [{"threshold": 0.8}, {"unit": "character"}, {"ngram": 2}, {"num_perm": 64}, {"seed": 2}, {"min_recall": 0.9}]
    assert (
        len({jaccard_join.scheme(minhash.model_copy(update=change)) for change in others} | {jaccard_join.scheme(minhash)}) == 7
    )
