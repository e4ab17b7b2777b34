import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from personahub import text
from personahub.config import load
from personahub.dedup import deduplicate
from personahub.dedup.kernels import minhash, sets
from personahub.dedup.proof.audit import audit
from personahub.dedup.proof.recall import recall
from personahub.dedup.proof.remaining import allowed_misses, cosine_neighbours, lexical_pairs

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
    duplicates, rejects = deduplicate(rows, config, materialise)
    found = {row.id: (row.kept_by, row.method) for row in duplicates.collect()}
    assert found["a1"] == ("a", "identical")
    findings = audit(rows, duplicates, rejects, config, materialise)
    assert not broken(findings)
    assert len(findings) == 7
    removed = len(found) - 1
    assert f"of removed rows that were put back, {removed} of {removed} were found" in findings[-1].figures


def test_equal_sets_that_were_removed_in_different_batches_are_put_back_as_one(spark, materialise):
    """In one run the second would be identical to the first; the hub keeps no keys of a removed row."""
    rows = spark.createDataFrame([(name, 1, TEXTS[name]) for name in ("a", "a2", "b")], "id string, level int, text string")
    rows = rows.unionByName(rows.where("id = 'a2'").selectExpr("'z' AS id", "2 AS level", "upper(text) AS text"))
    made = [(name, "a", "exact", 12 / 13) for name in ("a2", "z")]
    duplicates = spark.createDataFrame(made, "id string, kept_by string, method string, score double")
    nothing = spark.createDataFrame([], "id string")
    found = lexical_pairs(rows, duplicates, nothing, settings().lexical, materialise)
    assert (found.searched, found.pairs, found.put_back, found.found_again, found.removed) == (2, 0, 1, 1, 2)


def test_whatever_is_wrong_is_found(spark, rows, materialise):
    """One fault for each claim; c2 stands nearer to c1, which is removed, than to c, which is kept."""
    made = [
        ("a1", "a", "identical", 1.0),
        ("a2", "a", "exact", 0.99),  # it is 12/13
        # a3 should be here
        ("c1", "c", "exact", 16 / 17),
        ("c2", "c1", "exact", 16 / 18),  # its keeper was not kept
        ("b", "d", "exact", 0.9),  # comes before its keeper, and has nothing to do with it
        ("f", "f1", "exact", 0.9),  # there is no f1
        ("d", "a", "identical", 1.0),
        ("e", "a", "exact", 0.9),  # is a reject
    ]
    duplicates = spark.createDataFrame(made, "id string, kept_by string, method string, score double")
    rejects = spark.createDataFrame([("e", "empty_text"), (None, "bad_json")], "id string, reason string")
    found = broken(audit(rows, duplicates, rejects, settings(), materialise))
    assert found == {
        "each row is kept, or a duplicate, or a reject": "11 rows, 3 kept, 8 not; 1 ids are named twice, 0 are not in the input",
        "every duplicate names a row that its method kept": "identical 2, exact 6; 3 do not, the first is 'b'",
        "and that comes before it": "identical 2, exact 6; 1 do not, the first is 'b'",
        "and has the exact score it states, at the threshold or above": "least: identical 1.0000, exact 0.8889; 5 do not, the first is 'd'",
        "kept_by leads to a kept row in 3 steps or fewer": "2 at most; 1 do not",
        "no two rows kept reach 0.85": "1 of 3 do; of removed rows that were put back, 2 of 6 were found",
    }


def test_copies_that_were_kept_are_found(rows, materialise):
    none = rows.select("id", F.lit("exact").alias("method")).limit(0)
    found = lexical_pairs(
        rows.where("id in ('a', 'a1', 'b', 'e')"), none, rows.where("id = 'e'"), settings().lexical, materialise
    )
    assert (found.searched, found.identical, found.pairs, found.put_back) == (3, 1, 0, 0)


def test_minhash_may_miss_what_its_bands_miss():
    assert allowed_misses(1_000_000, settings().lexical) == 0
    bands = settings(method="minhash", threshold=0.9)
    assert allowed_misses(0, bands.lexical) == 2
    assert 123 < allowed_misses(1_000_000, bands.lexical) < 200  # 16 bands of 8 miss 0.000123


# -- recall ----------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(spark):
    """300 texts of 20 words, in families of ten that differ by one or two: many pairs at 18/22 and 19/21."""
    texts = []
    for family in range(30):
        for member in range(10):
            words = [f"w{family}x{n}" for n in range(20)]
            words[member % 7] = f"m{family}y{member}"
            texts.append(" ".join(words))
    return texts, spark.createDataFrame([(number, 1, one) for number, one in enumerate(texts)], "id int, level int, text string")


def test_recall_is_that_of_all_pairs(many):
    texts, rows = many
    config = settings(threshold=0.8, method="minhash", num_perm=16, min_recall=0.5).lexical
    found = recall(rows, config, len(texts))

    tokens = [text.tokens(one) for one in texts]
    at = [
        (i, j) for i in range(len(texts)) for j in range(i) if 0.8 <= len(tokens[i] & tokens[j]) / len(tokens[i] | tokens[j]) < 1
    ]
    left, right = np.array(at).T
    signed = minhash.signatures(sets.token_sets(pa.array(texts))[0], 16, config.seed)
    meet = minhash.collides(signed[left], signed[right], found.bands, found.rows)
    assert (found.pairs, found.found, found.every) == (len(at), int(meet.sum()), 1)
    assert 0 < found.found < found.pairs
    assert found.near <= found.pairs


def test_a_sample_of_the_pairs_has_about_their_recall(many):
    texts, rows = many
    config = settings(threshold=0.8, method="minhash", num_perm=16, min_recall=0.5).lexical
    whole, sample = recall(rows, config, len(texts)), recall(rows, config, len(texts), most_keys=200)
    assert sample.every == 4
    assert 0.15 < sample.pairs / whole.pairs < 0.4
    assert abs(sample.found / sample.pairs - whole.found / whole.pairs) < 0.1


def test_nothing_to_miss(spark):
    rows = spark.createDataFrame([("a", 1, "one two"), ("b", 1, "..."), ("c", 1, None)], "id string, level int, text string")
    found = recall(rows, settings(method="minhash").lexical, 3)
    assert (found.pairs, found.found) == (0, 0)


# -- vectors ---------------------------------------------------------------------------------------------------------------------------


def test_a_vector_kept_beside_a_kept_one_is_found(spark):
    near, apart = [1.0, 0.1], [0.0, 1.0]
    made = [(1, near), (2, near), (3, [0.9, 0.1]), (4, apart), (5, None), (6, near)]
    rows = spark.createDataFrame(made, "id long, vector array<float>")
    rejects = spark.createDataFrame([(5,)], "id long")
    removed = spark.createDataFrame([(2,), (3,), (6,)], "id long")
    fine = cosine_neighbours(rows, removed, rejects, 0.99)
    assert (fine.drawn, fine.with_neighbours, fine.missed) == (5, 4, 0)
    assert cosine_neighbours(rows, removed.where("id < 6"), rejects, 0.99).missed == 2
