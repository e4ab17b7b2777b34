"""Texts and their keys to INDEX rows, what a hub stores of them, and back. See jaccard_join for the columns."""

import numpy as np
import pyarrow as pa

from personahub.dedup.arrow_columns import cuts, packed, unpacked
from personahub.dedup.blocking_keys import KeyedTexts
from personahub.dedup.kernels import sets
from personahub.dedup.kernels.sets import TokenSets

# bytes of keys and tokens in a row: parquet checks the size of a row group every hundred rows only, and a reader holds as many rows at once
# as the session says
ROW_BYTES = 1 << 16


def to_rows(texts: KeyedTexts) -> pa.RecordBatch:
    """INDEX rows of about ROW_BYTES."""
    count = np.bincount(texts.text, minlength=len(texts.ids))
    bounds = np.unique(cuts((count + texts.tokens.sizes) * sets.TOKEN_BYTES, ROW_BYTES))  # no texts make no row
    columns = {
        "ids": pa.ListArray.from_arrays(pa.array(bounds.astype(np.int32)), texts.ids),
        "counts": packed(count.astype(np.int32), bounds),
        "keys": packed(texts.key[np.argsort(texts.text, kind="stable")], np.append(0, np.cumsum(count))[bounds]),
        "sizes": packed(texts.tokens.sizes.astype(np.int32), bounds),
        "tokens": packed(texts.tokens.values, texts.tokens.offsets[bounds] - texts.tokens.offsets[0]),
    }
    return pa.RecordBatch.from_pydict(columns)


def from_rows(batch: pa.RecordBatch) -> KeyedTexts:
    """KeyedTexts at level 0."""
    sizes, count = unpacked(batch["sizes"], np.int32), unpacked(batch["counts"], np.int32)
    tokens = TokenSets(np.append(0, np.cumsum(sizes, dtype=np.int64)), unpacked(batch["tokens"], np.uint64))
    text, level = np.repeat(np.arange(len(count)), count), np.zeros(len(count), np.int32)
    return KeyedTexts(unpacked(batch["keys"], np.uint64), text, level, batch["ids"].flatten(), tokens)
