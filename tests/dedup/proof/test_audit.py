from functools import partial

import pytest

from personahub.config import load
from personahub.dedup import by_words
from personahub.dedup.proof.audit import allowed_misses, audit
from personahub.dedup.proof.neighbours import near_texts, near_vectors, neighbours

# twelve words each, so that at 0.85 one may be added; b, d and f stand for nobody
WORDS = "one two three four five six seven eight nine ten eleven twelve".split()
TEXTS = {
    "a": " ".join(WORDS),
    "a1": " ".join(reversed(WORDS)),  # the same set
    "a2": " ".join([*WORDS, "more"]),
    "a3": " ".join([*WORDS, "again"]),
    "b": "a lighthouse keeper on a small island who paints the ships that pass by every day",
    "c": "a cook from the old town of Brugge who bakes bread for all the bakers of the whole street",
    "c1": "a cook from the old town of Brugge who bakes bread for all the bakers of the whole street, too",
    "c2": "a cook from the old town of Brugge who bakes bread for all the bakers of the whole world, too",
    "d": "somebody else",
    "e": "...",
    "f": "un boulanger de Bruges",
}


def settings(**lexical):
    return load(overrides=[f"dedup.lexical.{key}={value}" for key, value in {"threshold": 0.85, **lexical}.items()]).dedup


@pytest.fixture
def materialise(tmp_path, spark):
    def write(rows, name):
        rows.write.mode("overwrite").parquet(str(tmp_path / name))
        return spark.read.schema(rows.schema).parquet(str(tmp_path / name))

    return write


@pytest.fixture
def rows(spark):
    return spark.createDataFrame([(name, 1, one) for name, one in TEXTS.items()], "id string, level int, text string")


def broken(findings):
    return {finding.claim: finding.figures for finding in findings if not finding.holds}


def test_what_deduplicate_does_stands_up(rows, materialise):
    config = settings(method="minhash")
    duplicates, rejects = by_words(rows, config.lexical, materialise)
    found = {row.id: (row.duplicate_of, row.method) for row in duplicates.collect()}
    assert found["a1"] == ("a", "identical")
    findings = audit(rows, duplicates, rejects, config, materialise)
    assert not broken(findings)
    assert len(findings) == 6
    assert findings[-1].figures == "of 10 drawn, 7 have a neighbour, 0 kept beside a kept one"


def test_whatever_is_wrong_is_found(spark, rows, materialise):
    """One fault for each claim; c2 is nearer to c1, which is removed, than to c, which is kept."""
    made = [
        ("a1", "a", "a", "identical", 1.0),
        ("a2", "a", "a", "exact", 0.99),  # it is 12/13
        # a3 should be here
        ("c1", "c", "c", "exact", 16 / 17),
        ("c2", "c1", "c1", "exact", 16 / 18),  # c1 was not kept
        ("b", "d", "a", "exact", 0.9),  # comes before d, and has nothing to do with it
        ("f", "f1", "f1", "exact", 0.9),  # there is no f1
        ("d", "a", "a", "identical", 1.0),
        ("e", "a", "a", "exact", 0.9),  # is a reject
    ]
    columns = "id string, duplicate_of string, representative string, method string, score double"
    duplicates = spark.createDataFrame(made, columns)
    rejects = spark.createDataFrame([("e", "empty_text"), (None, "bad_json")], "id string, reason string")
    found = broken(audit(rows, duplicates, rejects, settings(), materialise))
    assert found == {
        "each row is kept, or a duplicate, or a reject": "11 rows, 3 kept, 8 not; 1 ids are named twice, 0 are not in the input",
        "every duplicate names a row that its method kept": "identical 2, exact 6; 3 do not, the first is 'b'",
        "and that comes before it": "identical 2, exact 6; 1 do not, the first is 'b'",
        "and has the exact score it states, at the threshold or above": "lowest: identical 1.0000, exact 0.8889; 5 do not, "
        "the first is 'd'",
        "duplicate_of leads to a kept row, the representative, in 3 steps or fewer": "2 at most; 2 do not",
        "no two rows that the words kept reach 0.85, in a sample": "of 10 drawn, 7 have a neighbour, 2 kept beside a kept one",
    }


def test_texts_that_were_kept_beside_each_other_are_found(rows):
    nothing, near = rows.select("id").limit(0), partial(near_texts, settings().lexical)
    found = neighbours(rows.where("id in ('a', 'a1', 'b', 'e')"), "text", nothing, rows.where("id = 'e'"), near)
    assert (found.drawn, found.with_neighbours, found.missed) == (3, 2, 2)
    assert neighbours(rows.limit(0), "text", nothing, nothing, near).drawn == 0


def test_minhash_may_miss_what_its_bands_miss():
    assert allowed_misses(1_000_000, settings().lexical) == 0
    bands = settings(method="minhash", threshold=0.9)
    assert allowed_misses(0, bands.lexical) == 2
    assert 123 < allowed_misses(1_000_000, bands.lexical) < 200  # 16 bands of 8 miss 0.000123


# -- vectors ---------------------------------------------------------------------------------------------------------------------------


def test_a_vector_kept_beside_a_kept_one_is_found(spark):
    one, apart = [1.0, 0.1], [0.0, 1.0]
    made = [(1, one), (2, one), (3, [0.9, 0.1]), (4, apart), (5, None), (6, one)]
    rows = spark.createDataFrame(made, "id long, vector array<float>")
    rejects = spark.createDataFrame([(5,)], "id long")
    removed = spark.createDataFrame([(2,), (3,), (6,)], "id long")
    near = partial(near_vectors, 0.99)
    fine = neighbours(rows, "vector", removed, rejects, near)
    assert (fine.drawn, fine.with_neighbours, fine.missed) == (5, 4, 0)
    assert neighbours(rows, "vector", removed.where("id < 6"), rejects, near).missed == 2
