"""A batch against a hub, and against itself, where it is small enough to be sent to where the hub is read: the hub's texts stay there.

Of a hub only those texts are told that a text of the batch is a copy of, or that are the first, by their ids, that it is near: they stand
above the batch and stay kept. What is in the batch alone meets on the driver, which holds it anyway.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub.config import LexicalDedup
from personahub.dedup import comparing, found, keying, lexical, storing
from personahub.dedup.arrow import gulps, unpacked
from personahub.dedup.kernels import sets
from personahub.dedup.kernels.sets import TokenSets
from personahub.dedup.kernels.sieve import sieve
from personahub.dedup.keying import SET_ROW, Keyed

MOST = 32 << 20  # bytes of a batch, some 150,000 short texts: the driver holds a few times as many, and sends them to each task
A_TEXT = 100  # bytes that a text counts for above its own: its keys, mostly


class Sent(NamedTuple):
    """The keyed rows of a batch, ascending by key; of equal sets the first by (level, id) alone has comparison rows."""

    key: np.ndarray  # uint64
    text: np.ndarray  # int32: the row's, of those that follow
    level: np.ndarray  # int32
    ids: pa.Array
    hashes: np.ndarray  # uint64: 64 more bits of the set's hash
    tokens: TokenSets


def fits(texts: DataFrame) -> bool:
    """texts: with a column `text`."""
    weight = F.sum(F.coalesce(F.octet_length("text"), F.lit(0)) + A_TEXT)
    return (texts.agg(weight).collect()[0][0] or 0) <= MOST


def compared(texts: DataFrame, config: LexicalDedup, hub: DataFrame, most: int) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Texts (id, level, text) that fit, and STORED -> FOUND (see lexical.found) in three: copies, each once; near pairs; refused.

    A copy, and who is near to one, has a set above it that is near the same ones: no near pair has a copy.
    """
    threshold = config.threshold
    sent, refused = _gathered(lexical.stored(texts, config, levels=True).toArrow())
    shared = np.append(False, sent.key[1:] == sent.key[:-1])[: len(sent.key)]
    shared |= np.append(shared[1:], False)[: len(shared)]
    inside = list(comparing.of_block(_keyed(sent, np.flatnonzero(shared)), threshold, most))
    stored = hub.select("ids", "counts", "keys", "sizes", "tokens")
    schema = found.schema(hub.schema["ids"].dataType.elementType)
    above = stored.mapInArrow(partial(_met, sent, threshold), schema).toArrow()
    pairs = pa.concat_tables([above, pa.Table.from_batches(inside, refused.schema).cast(above.schema)])
    copies = pairs.filter(pairs["identical"]).sort_by([(name, "ascending") for name in ("low", "high_level", "high")])
    lows = copies["low"].combine_chunks().dictionary_encode()
    copies = copies.filter(pa.array(np.diff(lows.indices.to_numpy(), prepend=-1) != 0))
    in_copy = pc.or_(*(pc.is_in(pairs[name], value_set=lows.dictionary) for name in ("low", "high")))
    return copies, pairs.filter(pc.invert(in_copy)), pa.Table.from_batches([refused])


def _gathered(batch: pa.Table) -> tuple[Sent, pa.RecordBatch]:
    """STORED with levels -> the texts that can be compared, and FOUND rows of the others."""
    ids = batch["ids"].combine_chunks().flatten()
    level, count = (unpacked(batch[name], np.int32) for name in ("levels", "counts"))
    tokens, key = storing.tokens_of(batch), unpacked(batch["keys"], np.uint64)
    fit = keying.is_fit(tokens)
    others = np.flatnonzero(~fit)
    refused = comparing.refused_rows(ids.take(pa.array(others)), level[others], tokens.sizes[others])

    hashes, first = sets.set_keys(tokens), np.zeros(len(ids), np.bool_)
    rows = np.flatnonzero(fit)
    first[rows[keying.first_of_each(hashes[rows], level[rows], ids.take(pa.array(rows)))]] = True
    text = np.repeat(np.arange(len(ids), dtype=np.int32), count)
    rows = np.flatnonzero(first[text] | (key & SET_ROW == SET_ROW))
    rows = rows[np.argsort(key[rows])]
    return Sent(key[rows], text[rows], level, ids, hashes[:, 1].copy(), tokens), refused


def _keyed(sent: Sent, rows: np.ndarray) -> Keyed:
    key, text = sent.key[rows], sent.text[rows]
    mine, text = np.unique(text, return_inverse=True)
    ids, tokens = sent.ids.take(pa.array(mine)), sets.take(sent.tokens, mine)
    pieces = keying.in_pieces(key, text, sent.level[mine], ids, tokens, sent.hashes[mine])
    return keying.joined(list(pieces))


def _met(sent: Sent, threshold: float, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """STORED -> pairs with a text of the batch below."""
    passing = sieve(sent.key)
    for batch in gulps(batches):
        for hub in storing.from_stored(batch, passing):
            keys = hub.key[np.flatnonzero(np.diff(hub.key, prepend=~hub.key[:1]))]
            begin, end = (np.searchsorted(sent.key, keys, side) for side in ("left", "right"))
            sizes = end - begin
            rows = np.repeat(end - np.cumsum(sizes), sizes) + np.arange(sizes.sum())
            for pairs in comparing.of_block(keying.joined([hub, _keyed(sent, rows)]), threshold, 1):
                yield pairs.filter(pc.equal(pairs["high_level"], 0))
