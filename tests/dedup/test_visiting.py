"""New vectors that are sent to where the hub is read: the verdicts are those of the other way, and of a loop over all pairs."""

import math

from test_semantic import CONFIG, frame, some_rows, true_pairs

from personahub.dedup import by_vectors, search, semantic, visiting

EVERYONE = some_rows(350, 1)
HUB, NEW = [(id_, vector) for id_, _, vector in EVERYONE[:150]], EVERYONE[150:]
KNOWN = {name for name, _ in HUB}


def verdicts(spark, rows, write):
    """With the hub in several packed rows a cluster."""
    frames = [spark.createDataFrame(part, "id string, vector array<float>").coalesce(1) for part in (HUB[:80], HUB[80:])]
    given = frame(spark, rows).repartition(3)
    prepared = search.prepare(given, CONFIG, frames[0].unionByName(frames[1]))
    packed = write(semantic.pack(frames[0], prepared).unionByName(semantic.pack(frames[1], prepared)), "packed")
    told = by_vectors(given, CONFIG, write, packed, prepared)
    kept = told.packed(told.duplicates.select("id").unionByName(told.rejects.select("id"))).collect()
    home = {name: (row.cluster, row.vectors[place * 48 :][:48]) for row in kept for place, name in enumerate(row.ids)}
    return sorted(told.duplicates.collect()), sorted(told.rejects.collect()), home


def test_both_ways_give_the_same_verdicts(spark, materialise, monkeypatch):
    rows = [*NEW, (HUB[3][0], 1, HUB[3][1]), ("none", 1, None), ("nan", 2, [math.nan] * 12)]
    sent = verdicts(spark, rows, lambda frame, name: materialise(frame, f"sent.{name}"))
    monkeypatch.setattr(visiting, "MOST", -1)
    assert sent == verdicts(spark, rows, materialise)
    assert [(row.id, row.reason) for row in sent[1]] == [("nan", "vector_not_finite"), ("none", "no_vector")]
    assert len([row for row in sent[0] if row.kept_by in KNOWN]) > 20
    assert any(row.kept_by not in KNOWN for row in sent[0])
    assert all(row.id != row.kept_by for row in sent[0])
    assert len(sent[2]) == len(rows) - len(sent[0]) - len(sent[1])


def test_of_the_hub_the_first_is_told(spark, materialise):
    told, *_ = verdicts(spark, NEW, materialise)
    pairs = true_pairs(NEW, HUB)
    first = {}
    for low, high in pairs:
        if high in KNOWN:
            first[low] = min(high, first.get(low, high))
    named = {row.id: row.kept_by for row in told if row.kept_by in KNOWN}
    assert named.keys() <= first.keys()
    assert sum(first[name] == by for name, by in named.items()) > 0.95 * len(first)


def test_nothing_new_is_no_error(spark, materialise):
    assert verdicts(spark, [("none", 1, None)], materialise)[0] == []


def test_vectors_fit_by_their_number_and_length(spark, monkeypatch):
    rows = frame(spark, some_rows(20, 4))
    prepared = search.prepare(rows, CONFIG)
    monkeypatch.setattr(visiting, "MOST", 20 * 12 * 4)
    assert visiting.fit(rows, prepared)
    monkeypatch.setattr(visiting, "MOST", 20 * 12 * 4 - 1)
    assert not visiting.fit(rows, prepared)
