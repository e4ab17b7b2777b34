import numpy as np
import pyarrow as pa
import pytest

from personahub.dedup import arrow_columns


@pytest.mark.parametrize("size", [1, 100, 1 << 20])
def test_groups_come_whole_whatever_order_their_rows_come_in(size):
    keys = np.random.default_rng(1).integers(0, 40, 500)
    rows = [
        pa.record_batch({"key": pa.array(part), "row": pa.array(part * 1000)}) for part in np.split(keys, [0, 7, 7, 200, 411])
    ]
    blocks = [pa.concat_batches(block) for block in arrow_columns.whole_groups(iter(rows), "key", size)]
    seen = [set(block["key"].to_pylist()) for block in blocks]
    assert sum(map(len, seen)) == len(set().union(*seen)) == 40
    assert [min(one) for one in seen] == sorted(min(one) for one in seen)
    assert sorted(key for block in blocks for key in block["key"].to_pylist()) == sorted(keys.tolist())
    assert all(block["row"].to_pylist() == [key * 1000 for key in block["key"].to_pylist()] for block in blocks)
    assert len(blocks) == {1: 40, 100: len(blocks), 1 << 20: 1}[size]


def test_of_nothing_there_is_no_group():
    assert list(arrow_columns.whole_groups(iter([pa.record_batch({"key": pa.array([], pa.int64())})]), "key", 10)) == []
