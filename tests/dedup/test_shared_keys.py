"""What the filter leaves out changes no verdict: keys that one set alone has, whatever batches the texts come in."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
import samples
from test_bucket_pairs import batch_of, found_in

from personahub.config import LexicalDedup
from personahub.dedup import arrow_columns, blocking_keys, shared_keys
from personahub.dedup.kernels.bloom_filter import build

CONFIGS = [LexicalDedup(), LexicalDedup(threshold=0.6), LexicalDedup(method="minhash")]


def repeated_keys(rows, config, batch):
    """As Spark would come to them: blocks of each batch, by part, a few at a time."""
    blocks = []
    for start in range(0, len(rows), batch):
        blocks += shared_keys._keys_by_part(config, iter([batch_of(rows[start : start + batch])]))
    table = pa.Table.from_batches(blocks).sort_by("part").combine_chunks()
    found = [piece["keys"] for piece in shared_keys._repeated(iter(table.to_batches(max_chunksize=7)))]
    return np.concatenate(
        [np.empty(0, np.uint64)] + [np.frombuffer(each, np.uint64) for one in found for each in one.to_pylist()]
    )


@pytest.mark.parametrize("config", CONFIGS, ids=repr)
@pytest.mark.parametrize("batch", [1, 30, 1000])
def test_the_same_pairs_are_found(config, batch):
    rows = samples.rows(200, 5)
    keys = repeated_keys(rows, config, batch)
    assert len(np.unique(keys)) == len(keys)
    plain, filtered = (found_in(rows, config, bloom=one) for one in (None, build(keys)))
    assert sorted(map(repr, filtered)) == sorted(map(repr, plain))
    assert any(row["identical"] for row in plain)
    assert any(row["earlier"] and not row["identical"] for row in plain)


@pytest.mark.parametrize("config", CONFIGS, ids=repr)
def test_the_keys_are_those_of_the_keyed_rows(config):
    batch = batch_of(samples.rows(200, 6))
    keys = blocking_keys.keys_of(batch["text"], config)
    texts = blocking_keys.of_texts(batch, config)
    pieces = blocking_keys.keyed_rows(texts)
    assert keys.tolist() == [key for piece in pieces for key in piece.key.tolist()]
    once = {key for key, count in Counter(keys.tolist()).items() if count == 1}
    none = blocking_keys.keyed_rows(texts, build(np.array([], np.uint64)))
    assert not [key for piece in none for key in piece.key.tolist()]
    assert once


def test_batches_are_made_larger(monkeypatch):
    batches = [batch_of(samples.rows(20, seed)) for seed in range(5)]
    assert len(list(arrow_columns.larger_batches(iter(batches)))) == 1
    monkeypatch.setattr(arrow_columns, "BATCH_BYTES", batches[0].nbytes + 1)
    larger = list(arrow_columns.larger_batches(iter(batches)))
    assert 1 < len(larger) < 5
    assert pa.Table.from_batches(larger) == pa.Table.from_batches(batches)
