"""Real personas, at many thresholds and in many partitionings, against the reference."""

import json
import random
import zlib

import numpy as np
import pytest
import reference

from personahub.config import LexicalDedup, SemanticDedup
from personahub.dedup import by_vectors, by_words
from personahub.dedup.kernels import minhash, sets
from personahub.dedup.proof.audit import allowed_misses
from personahub.text import tokens

pytestmark = pytest.mark.slow
DIMENSION = 32


@pytest.fixture(scope="module")
def rows(shared_data):
    """(level, id, text), the ids in no order; a tenth of the texts once more with a word gone."""
    lines = (shared_data / "personas.jsonl").read_text().splitlines()
    texts = [json.loads(line)["persona"] for line in lines]
    draw = random.Random(1)
    texts += [" ".join(words[:-1]) for words in (text.split() for text in draw.sample(texts, len(texts) // 10)) if len(words) > 1]
    return [(draw.choice([1, 1, 2]), f"{draw.randrange(16**12):012x}", text) for text in texts]


def removed_by(spark, rows, config, materialise, partitions=3):
    """By id: (duplicate_of, method, score)."""
    frame = spark.createDataFrame(rows, "level int, id string, text string").repartition(partitions)
    duplicates, rejects = by_words(frame, config, materialise)
    assert rejects.isEmpty()
    return {row.id: (row.duplicate_of, row.method, row.score) for row in duplicates.collect()}


def collide(config):
    """The pairs that MinHash looks at: those with a band in common."""
    bands = minhash.choose_bands(config.threshold, config.num_perm, config.min_recall)

    def signature(tokens):
        hashes = np.sort(sets.hash_tokens([token.encode() for token in tokens]))
        return minhash.signatures(sets.TokenSets(np.array([0, len(hashes)]), hashes), config.num_perm, config.seed)

    return lambda one, other: bool(reference.collides(signature(one), signature(other), *bands)[0])


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95])
def test_both_methods_equal_the_reference(spark, materialise, rows, threshold, record_property):
    exact, banded = (LexicalDedup(method=method, threshold=threshold) for method in ("exact", "minhash"))
    expected = reference.deduplicate(rows, threshold)
    assert {method for _, method, _ in expected.values()} == {"exact", "identical"}
    found = removed_by(spark, rows, exact, lambda frame, name: materialise(frame, f"exact.{name}"))
    assert found == expected
    found = removed_by(spark, rows, banded, lambda frame, name: materialise(frame, f"minhash.{name}"))
    assert found == reference.deduplicate(rows, threshold, method="minhash", seen=collide(banded))
    missed = {name: expected[name] for name in expected.keys() - found.keys()}
    record_property("missed by minhash", missed)
    assert len(missed) <= allowed_misses(len(expected), banded), missed


def vectors_of(rows):
    """(level, id, vector): the sum of a fixed direction for each word, so that texts with many words in common are near."""

    def direction(word):
        return np.random.default_rng(zlib.crc32(word.encode())).standard_normal(DIMENSION)

    return [(level, name, sum(map(direction, tokens(text))).astype(np.float32).tolist()) for level, name, text in rows]


@pytest.mark.parametrize("method", ["exact", "minhash", "semantic"])
def test_the_verdicts_hang_neither_on_the_partitions_nor_on_the_order(spark, materialise, rows, method):
    if method == "semantic":
        given, columns = vectors_of(rows), "level int, id string, vector array<float>"
        by, config = by_vectors, SemanticDedup(enabled=True, clusters=40)
    else:
        given, columns = rows, "level int, id string, text string"
        by, config = by_words, LexicalDedup(method=method)
    answers = []
    for partitions in (1, 7, 64):
        shuffled = random.Random(partitions).sample(given, len(given))
        frame = spark.createDataFrame(shuffled, columns).repartition(partitions)
        duplicates, _ = by(frame, config, lambda frame, name, at=partitions: materialise(frame, f"{at}.{name}"))
        answers.append(sorted(duplicates.collect()))
    assert len(answers[0]) > 100
    assert answers[1] == answers[0]
    assert answers[2] == answers[0]
