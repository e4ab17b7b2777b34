"""A batch against what a hub has stored of earlier ones: who is told of, and what is stored of the batch."""

import math

import samples
from test_cosine_join import CONFIG, frame, some_rows, true_pairs

from personahub.config import LexicalDedup
from personahub.dedup import by_vectors, by_words, cosine_join, ivf_index, jaccard_join

SCHEMA = "level int, id string, text string"
TEXTS = [(0, "b", "a cook who knows all fish of the cold river Inn"), (0, "a", "a mason of old and new stone bridges")]
EVERYONE = some_rows(350, 1)
HUB, NEW = [(id_, vector) for id_, _, vector in EVERYONE[:150]], EVERYONE[150:]
KNOWN = {name for name, _ in HUB}


def by_text(spark, rows, stored, config, write):
    """Duplicates, rejects, and the ids of what a hub would store of the others."""
    given = spark.createDataFrame(rows, SCHEMA).repartition(3)
    duplicates, rejects = by_words(given, config, write, stored)
    kept = given.join(duplicates.select("id").unionByName(rejects.select("id")), on="id", how="left_anti")
    ids = [name for row in jaccard_join.to_index(kept, config).collect() for name in row.ids]
    return sorted(duplicates.collect()), sorted(rejects.collect()), sorted(ids)


def test_what_is_kept_is_stored_and_nothing_else(spark, materialise):
    rows = samples.rows(300, 8, longest=12)
    stored = materialise(jaccard_join.to_index(spark.createDataFrame(rows[:80], SCHEMA), LexicalDedup()), "stored")
    duplicates, rejects, kept = by_text(spark, rows[80:], stored, LexicalDedup(), materialise)
    assert {row.method for row in duplicates} == {"identical", "exact"}
    assert sorted([*kept, *(row.id for row in duplicates), *(row.id for row in rejects)]) == sorted(
        name for _, name, _ in rows[80:]
    )


def test_a_copy_of_what_the_hub_has_is_told_once_and_keeps_nobody(spark, materialise):
    config = LexicalDedup(threshold=0.8)
    stored = materialise(jaccard_join.to_index(spark.createDataFrame(TEXTS, SCHEMA), config), "stored")
    cook = TEXTS[0][2]
    rows = [
        (1, "1", f"{cook}!"),
        (1, "2", cook.upper()),
        (1, "3", f"{cook} now"),
        (1, "4", f"NOW {cook}"),
        (1, "5", ""),
        (1, "6", None),
    ]
    rows.append((2, "7", " ".join(map(str, range(3000)))))
    duplicates, rejects, kept = by_text(spark, rows, stored, config, materialise)
    assert not kept
    told = [(row.id, row.duplicate_of, row.representative, row.method, row.round) for row in duplicates]
    assert told == [
        ("1", "b", "b", "identical", 0),
        ("2", "b", "b", "identical", 0),
        ("3", "b", "b", "exact", 1),
        ("4", "3", "b", "identical", 0),
    ]
    assert rejects == [("5", "empty_text"), ("6", "empty_text"), ("7", "too_long")]


def by_vector(spark, rows, write):
    """With the hub in several packed rows a cluster."""
    frames = [spark.createDataFrame(part, "id string, vector array<float>").coalesce(1) for part in (HUB[:80], HUB[80:])]
    given = frame(spark, rows).repartition(3)
    prepared = ivf_index.prepare(given, CONFIG, frames[0].unionByName(frames[1]))
    packed = write(cosine_join.pack(frames[0], prepared).unionByName(cosine_join.pack(frames[1], prepared)), "packed")
    duplicates, rejects = by_vectors(given, CONFIG, write, packed, prepared)
    kept = given.join(duplicates.select("id").unionByName(rejects.select("id")), on="id", how="left_anti")
    ids = [name for row in cosine_join.pack(kept, prepared).collect() for name in row.ids]
    return sorted(duplicates.collect()), sorted(rejects.collect()), ids


def test_vectors_meet_those_of_the_hub_and_each_other(spark, materialise):
    rows = [*NEW, (HUB[3][0], 1, HUB[3][1]), ("none", 1, None), ("nan", 2, [math.nan] * 12)]
    duplicates, rejects, kept = by_vector(spark, rows, materialise)
    assert [(row.id, row.reason) for row in rejects] == [("nan", "vector_not_finite"), ("none", "no_vector")]
    assert len([row for row in duplicates if row.duplicate_of in KNOWN]) > 20
    assert any(row.duplicate_of not in KNOWN for row in duplicates)
    assert all(row.id != row.duplicate_of for row in duplicates)
    assert len(kept) == len(rows) - len(duplicates) - len(rejects)


def test_of_the_hub_the_first_is_told(spark, materialise):
    told, *_ = by_vector(spark, NEW, materialise)
    first = {}
    for low, high in true_pairs(NEW, HUB):
        if high in KNOWN:
            first[low] = min(high, first.get(low, high))
    named = {row.id: row.duplicate_of for row in told if row.duplicate_of in KNOWN}
    assert named.keys() <= first.keys()
    assert sum(first[name] == by for name, by in named.items()) > 0.95 * len(first)


def test_nothing_new_is_no_error(spark, materialise):
    assert by_vector(spark, [("none", 1, None)], materialise)[0] == []
