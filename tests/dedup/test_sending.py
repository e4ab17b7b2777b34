"""A batch that is sent to where the hub is read: who is told of, and that both ways of comparing it give the same verdicts."""

import pytest
import samples

from personahub.config import LexicalDedup
from personahub.dedup import by_words, keying, lexical, sending, storing

CONFIGS = [LexicalDedup(), LexicalDedup(threshold=0.6), LexicalDedup(method="minhash")]
SCHEMA = "level int, id string, text string"
HUB = [(0, "b", "a cook who knows all fish of the cold river Inn"), (0, "a", "a mason of old and new stone bridges")]


def verdicts(spark, rows, stored, config, write):
    """Duplicates, rejects, and the keys and ids of what a hub would store of the others."""
    words = by_words(spark.createDataFrame(rows, SCHEMA).repartition(3), config, write, stored)
    kept = words.stored(words.duplicates.select("id").unionByName(words.rejects.select("id"))).toArrow()
    assert all(kept["ids"].combine_chunks().value_lengths().to_pylist())
    texts = [storing.from_stored(batch) for batch in kept.to_batches()]
    keyed = [
        each
        for batch in texts
        for piece in keying.keyed_rows(batch)
        for each in zip(piece.key, piece.id.to_pylist(), strict=True)
    ]
    return sorted(words.duplicates.collect()), sorted(words.rejects.collect()), sorted(keyed)


@pytest.mark.parametrize("config", CONFIGS, ids=repr)
def test_both_ways_give_the_same_verdicts(spark, materialise, monkeypatch, config):
    rows = samples.rows(300, 8, longest=12)
    hub = spark.createDataFrame([(1, f"f{name}", text) for _, name, text in rows[:80]], SCHEMA)
    stored = materialise(lexical.stored(hub, config), "stored")
    sent = verdicts(spark, rows[60:], stored, config, lambda frame, name: materialise(frame, f"sent.{name}"))
    monkeypatch.setattr(sending, "MOST", -1)
    assert sent == verdicts(spark, rows[60:], stored, config, materialise)
    assert {row.method for row in sent[0]} == {"identical", config.method}
    assert len({name for _, name in sent[2]}) == 240 - len(sent[0]) - len(sent[1])


def test_a_copy_of_what_the_hub_has_is_told_once_and_keeps_nobody(spark, materialise):
    config = LexicalDedup(threshold=0.8)
    stored = materialise(lexical.stored(spark.createDataFrame(HUB, SCHEMA), config), "stored")
    cook = HUB[0][2]
    rows = [
        (1, "1", f"{cook}!"),
        (1, "2", cook.upper()),
        (1, "3", f"{cook} now"),
        (1, "4", f"NOW {cook}"),
        (1, "5", ""),
        (1, "6", None),
    ]
    rows.append((2, "7", " ".join(map(str, range(3000)))))
    duplicates, rejects, kept = verdicts(spark, rows, stored, config, materialise)
    assert not kept
    told = [(row.id, row.kept_by, row.method, row.round) for row in duplicates]
    assert told == [("1", "b", "identical", 0), ("2", "b", "identical", 0), ("3", "b", "exact", 1), ("4", "3", "identical", 0)]
    assert rejects == [("5", "empty_text"), ("6", "empty_text"), ("7", "too_long")]


def test_what_is_sent_is_no_more_than_so_many_bytes_of_texts_and_keys(spark, monkeypatch):
    texts = spark.createDataFrame([(1, "a", "x" * 50), (1, "b", None)], SCHEMA)
    monkeypatch.setattr(sending, "MOST", 50 + 2 * sending.A_TEXT)
    sent = sending.gathered(texts, LexicalDedup())
    assert sent.ids.to_pylist() == ["a", "b"]
    monkeypatch.setattr(sending, "HELD", 10)
    assert sending.gathered(texts, LexicalDedup()) is None
    monkeypatch.undo()
    monkeypatch.setattr(sending, "MOST", 49 + 2 * sending.A_TEXT)
    assert sending.gathered(texts, LexicalDedup()) is None
    assert len(sending.gathered(texts.limit(0), LexicalDedup()).ids) == 0
