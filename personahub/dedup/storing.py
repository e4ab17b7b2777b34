"""Texts to what a hub stores of them, and this to keyed rows: Arrow batches on the executors. See lexical for the columns of STORED."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from personahub.config import LexicalDedup
from personahub.dedup import keying
from personahub.dedup.arrow import packed, unpacked
from personahub.dedup.kernels import sets
from personahub.dedup.kernels.sets import TokenSets
from personahub.dedup.keying import SET_ROW, Keyed

# bytes of keys and tokens in a stored row: parquet looks at the size of what it holds every hundred rows only, and a reader holds as many
# rows as session says at once
STORED = 1 << 16


def to_stored(batch: pa.RecordBatch, config: LexicalDedup) -> pa.RecordBatch:
    """Texts (id, text) -> STORED: with the keys of all their rows, in rows of some STORED bytes; with their levels, if they have a level.

    Texts that can not be compared are there, without keys.
    """
    tokens, _ = sets.token_sets(batch["text"], config.unit, config.ngram)
    fit = np.flatnonzero(keying.is_fit(tokens))
    compared = sets.take(tokens, fit)
    at, keys = keying.comparison_keys(compared, config)
    owner = np.concatenate([fit, fit[at]])
    keys = np.concatenate([sets.set_keys(compared)[:, 0] | SET_ROW, keys & ~SET_ROW])[np.argsort(owner, kind="stable")]
    count = np.bincount(owner, minlength=len(tokens))
    bounds = np.array(keying.cuts((count + tokens.sizes) * sets.TOKEN_BYTES, STORED), np.int64)
    columns = {
        "ids": pa.ListArray.from_arrays(pa.array(bounds.astype(np.int32)), batch["id"]),
        "counts": packed(count.astype(np.int32), bounds),
        "keys": packed(keys, np.append(0, np.cumsum(count))[bounds]),
        "sizes": packed(tokens.sizes.astype(np.int32), bounds),
        "tokens": packed(tokens.values, tokens.offsets[bounds] - tokens.offsets[0]),
    }
    if "level" in batch.schema.names:
        columns["levels"] = packed(batch["level"].to_numpy(zero_copy_only=False).astype(np.int32), bounds)
    return pa.RecordBatch.from_pydict(columns)


def from_stored(batch: pa.RecordBatch, sieve: np.ndarray | None = None) -> Iterator[Keyed]:
    """STORED -> keyed rows of level 0; with a sieve those whose keys pass."""
    count, key = unpacked(batch["counts"], np.int32), unpacked(batch["keys"], np.uint64)
    text = np.repeat(np.arange(len(count)), count)
    order = np.argsort(key) if sieve is None else keying.passing(key, sieve)
    met, text = np.unique(text[order], return_inverse=True)  # most texts have no key that passes
    tokens = sets.take(tokens_of(batch), met)
    ids, level = batch["ids"].flatten().take(pa.array(met)), np.zeros(len(met), np.int32)
    return keying.in_pieces(key[order], text, level, ids, tokens, sets.set_keys(tokens)[:, 1])


def tokens_of(stored: pa.RecordBatch | pa.Table) -> TokenSets:
    """The token sets of STORED texts."""
    sizes = unpacked(stored["sizes"], np.int32)
    return TokenSets(np.append(0, np.cumsum(sizes, dtype=np.int64)), unpacked(stored["tokens"], np.uint64))
