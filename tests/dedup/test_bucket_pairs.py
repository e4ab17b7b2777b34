"""From texts to pairs without Spark: keys, row blocks, parts in any order, then greedy removal, against the reference."""

import random
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import reference
import samples

from personahub import text
from personahub.config import LexicalDedup
from personahub.dedup import blocking_keys, bucket_pairs, index_rows, row_blocks
from personahub.dedup.kernels import greedy_mis, minhash, sets
from personahub.dedup.kernels.bloom_filter import build


def batch_of(rows):
    level, ids, texts = zip(*rows, strict=True)
    return pa.RecordBatch.from_pydict(
        {"id": pa.array(ids), "level": pa.array(level, pa.int32()), "text": pa.array(texts, pa.string())}
    )


def found_in(rows, config, seed=0, batch=40, max_pairs=32, bloom=None):
    """What jaccard_join.similar_pairs gives, from batches as Spark would hand them out: rows in any order, parts sorted, in slices."""
    draw = random.Random(seed)
    rows = draw.sample(rows, len(rows))
    blocks = []
    for start in range(0, len(rows), batch):
        texts = blocking_keys.of_texts(batch_of(rows[start : start + batch]), config)
        pieces = blocking_keys.keyed_rows(texts, bloom)
        blocks += [
            *map(row_blocks.to_blocks, pieces),
            row_blocks.to_blocks(blocking_keys.refused(texts), part=row_blocks.REFUSED),
        ]
    table = pa.Table.from_batches(draw.sample(blocks, len(blocks)))
    tasks = np.random.default_rng(seed).integers(0, 3, 1 << row_blocks.PART_BITS)[table["part"].to_numpy()]
    out = []
    for task in range(3):
        mine = table.filter(pa.array(tasks == task)).sort_by("part").combine_chunks()
        out += bucket_pairs.pairs(
            pa.string(), config.threshold, max_pairs, iter(mine.to_batches(max_chunksize=draw.choice([1, 7, 1000])))
        )
    return [row for each in out for row in each.to_pylist()]


def decided(found, method):
    removed = {row["row"]: (row["earlier"], "identical", 1.0) for row in found if row["identical"]}
    pairs = [row for row in found if not row["identical"] and row["earlier"] is not None]
    order = sorted({(row[f"{side}_level"], row[side]) for row in pairs for side in ("row", "earlier")})
    place = {name: at for at, (_, name) in enumerate(order)}
    low, high = (np.array([place[row[side]] for row in pairs], np.int64) for side in ("row", "earlier"))
    duplicate_of, state, _ = greedy_mis.decide(len(order), low, high, np.array([row["truncated"] for row in pairs], np.bool_))
    assert not (state == greedy_mis.PENDING).any()
    scores = {(row["row"], row["earlier"]): row["score"] for row in pairs}
    for row in np.flatnonzero(state == greedy_mis.REMOVED):
        name, by = order[row][1], order[duplicate_of[row]][1]
        assert name not in removed
        removed[name] = (by, method, scores[name, by])
    return removed


@pytest.mark.parametrize(
    ("settings", "longest"),
    [
        ({}, 30),
        ({"threshold": 0.85}, 90),
        ({"threshold": 0.5}, 20),
        ({"unit": "character", "ngram": 3}, 12),
        ({"ngram": 2}, 30),
        ({"threshold": 1.0}, 8),
    ],
    ids=str,
)
@pytest.mark.parametrize("seed", range(3))
def test_exact_equals_the_reference(settings, longest, seed):
    rows, config = samples.rows(300, seed, longest), LexicalDedup(**settings)
    found = found_in(rows, config, seed, batch=random.Random(seed).choice([1, 40, 300]))
    expected = reference.deduplicate(rows, config.threshold, config.unit, config.ngram)
    assert decided(found, "exact") == expected
    assert {method for _, method, _ in expected.values()} == ({"exact", "identical"} if config.threshold < 1 else {"identical"})
    assert {row["row"]: row["refused"] for row in found if row["earlier"] is None} == {
        name: "empty_text" for _, name, content in rows if not text.tokens(content or "", config.unit, config.ngram)
    }


def test_minhash_equals_the_reference_given_the_pairs_that_collide():
    config = LexicalDedup(method="minhash", threshold=0.8, num_perm=32, min_recall=0.5)
    bands = minhash.choose_bands(config.threshold, config.num_perm, config.min_recall)

    def collide(*both):
        hashes = [np.sort(sets.hash_tokens([token.encode() for token in each])) for each in both]
        signed = [
            minhash.signatures(sets.TokenSets(np.array([0, len(each)]), each), config.num_perm, config.seed) for each in hashes
        ]
        return bool(reference.collides(*signed, *bands)[0])

    rows = samples.rows(300, 7)
    expected = reference.deduplicate(rows, config.threshold, method="minhash", seen=collide)
    assert decided(found_in(rows, config), "minhash") == expected
    assert expected != reference.deduplicate(rows, config.threshold, method="minhash")  # some pairs are missed


def test_the_hub_is_compared_with_and_never_decided_again():
    config = LexicalDedup()
    rows = samples.rows(300, 5)
    gone = reference.deduplicate(rows[:200], 0.9)
    hub = [(0, name, text) for _, name, text in rows[:200] if name not in gone]
    found = found_in([*hub, *rows[200:]], config)
    expected = reference.deduplicate(rows[200:], 0.9, decided=hub)
    assert decided(found, "exact") == expected
    assert {by for by, *_ in expected.values()} & {name for _, name, _ in hub}


def test_a_long_text_is_refused_and_the_longest_compared():
    words = [f"w{number}" for number in range(2001)]
    rows = [(1, "a", " ".join(words)), (1, "b", " ".join(words[:2000])), (1, "c", " ".join(words[:1990]))]
    found = found_in(rows, LexicalDedup())
    assert [(row["row"], row["earlier"], row["refused"]) for row in found if row["refused"]] == [("a", None, "too_long")]
    assert {(row["row"], row["earlier"], row["score"]) for row in found if not row["refused"]} == {("c", "b", 0.995)}


def test_a_batch_of_long_texts_comes_in_pieces(monkeypatch):
    rows = samples.rows(60, 9)
    whole = found_in(rows, LexicalDedup())
    monkeypatch.setattr(blocking_keys, "PIECE_BYTES", 1000)
    pieces = list(blocking_keys.keyed_rows(blocking_keys.of_texts(batch_of(rows), LexicalDedup())))
    assert len(pieces) > 5
    assert all(piece.tokens.values.nbytes <= 1000 + 30 * 8 for piece in pieces)
    found = found_in(rows, LexicalDedup())
    assert sorted(map(repr, found)) == sorted(map(repr, whole))


def test_lists_are_cut_after_most_pairs():
    rows = [(1, f"{place:02}", " ".join(samples.WORDS[:30]) + f" x{place}") for place in range(6)]
    found = found_in(rows, LexicalDedup(), max_pairs=2)
    listed = {}
    for row in found:
        listed.setdefault(row["row"], set()).add((row["earlier"], row["truncated"]))
    assert {("00", False), ("01", True)} <= listed["05"]
    assert not any(cut for _, cut in listed["02"])


def listed(keyed):
    """Plain rows: key, level, id, tokens."""
    offsets, values = keyed.tokens.offsets, keyed.tokens.values
    tokens = [values[start:end].tolist() for start, end in pairwise(offsets)]
    return list(zip(keyed.key.tolist(), keyed.level.tolist(), keyed.id.to_pylist(), tokens, strict=True))


def rows_of(texts, bloom=None):
    return [row for piece in blocking_keys.keyed_rows(texts, bloom) for row in listed(piece)]


@pytest.mark.parametrize("config", [LexicalDedup(), LexicalDedup(threshold=0.6), LexicalDedup(method="minhash")], ids=repr)
def test_what_is_stored_gives_the_keyed_rows_of_the_texts_again(config, monkeypatch):
    monkeypatch.setattr(index_rows, "ROW_BYTES", 2_000)
    distinct = {frozenset(text.tokens(words or "", "word", 1)): (0, name, words) for _, name, words in samples.rows(80, 4)}
    batch = batch_of(list(distinct.values()))
    texts = blocking_keys.of_texts(batch, config)
    stored = index_rows.to_rows(texts)
    names = stored["ids"].to_pylist()
    assert len(names) > 3
    assert [name for row in names for name in row] == batch["id"].to_pylist()
    assert len(blocking_keys.refused(texts).key) == 1  # it is stored, too, without keys
    again = rows_of(index_rows.from_rows(stored.slice(2)))
    assert sorted(again) == sorted(row for row in rows_of(texts) if row[2] not in names[0] + names[1])
    some = np.array([key for key, *_ in again][::5], np.uint64)
    passed = {row[0] for row in rows_of(index_rows.from_rows(stored), build(some))}
    assert passed >= set(some.tolist())
    assert len(passed) < 1.1 * len(set(some.tolist()))


@pytest.mark.parametrize("kind", [pa.int64(), pa.int32(), pa.string()])
def test_rows_come_out_of_row_blocks_as_they_went_in(kind):
    batch = batch_of(samples.rows(50, 3))
    batch = batch.set_column(0, "id", pa.array(range(50)).cast(kind))
    [keyed] = blocking_keys.keyed_rows(blocking_keys.of_texts(batch, LexicalDedup()))
    blocks = row_blocks.to_blocks(keyed)
    back = row_blocks.from_blocks([blocks.slice(0, 3), blocks.slice(3)], kind)
    assert back.id.type == kind
    assert listed(back) == listed(keyed)
    assert (np.diff(keyed.key >> np.uint64(64 - row_blocks.PART_BITS)) >= 0).all()
    assert len(blocks) == len(set((keyed.key >> np.uint64(64 - row_blocks.PART_BITS)).tolist()))
