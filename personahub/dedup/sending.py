"""A batch against a hub, and against itself, where it is small enough to be sent to where the hub is read: the hub's texts stay there.

Of a hub only those texts are told that a text of the batch is a copy of, or that are the first, by their ids, that it is near: they stand
above the batch and stay kept. What is in the batch alone meets on the driver, which holds it anyway.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub.config import LexicalDedup
from personahub.dedup import comparing, found, keying, lexical, storing
from personahub.dedup.arrow import gulps
from personahub.dedup.kernels.sieve import sieve
from personahub.dedup.keying import Keyed, Texts

MOST = 32 << 20  # bytes of texts, some 150,000 short ones with their ids
A_TEXT = 100  # bytes that a text counts for above its own
HELD = 128 << 20  # bytes of a batch with its keys, which depend on the settings: the driver holds it, and each task is sent it


def gathered(texts: DataFrame, config: LexicalDedup) -> Texts | None:
    """Texts (id, level, text), by their keys. None: there are too many of them, or too many keys."""
    weight = texts.agg(F.sum(F.coalesce(F.octet_length("text"), F.lit(0)) + A_TEXT)).collect()[0][0]
    if (weight or 0) > MOST:
        return None
    table = texts.select("id", F.col("level").cast("int"), "text").toArrow()
    batch = pa.RecordBatch.from_arrays([column.combine_chunks() for column in table.columns], table.column_names)
    sent = keying.by_key(keying.of_texts(batch, config))
    held = (sent.key, sent.text, sent.level, sent.ids, sent.tokens.offsets, sent.tokens.values)
    return sent if sum(each.nbytes for each in held) <= HELD else None


def compared(sent: Texts, threshold: float, hub: DataFrame, most: int) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Texts that were gathered, and STORED -> FOUND (see lexical.found) in three: copies, each once; near pairs; refused.

    A copy, and who is near to one, has a set above it that is near the same ones: no near pair has a copy.
    """
    shared = np.append(False, sent.key[1:] == sent.key[:-1])[: len(sent.key)]
    shared |= np.append(shared[1:], False)[: len(shared)]
    inside = list(comparing.of_block(_keyed(sent, np.flatnonzero(shared)), threshold, most))
    stored = hub.select("ids", "counts", "keys", "sizes", "tokens")
    schema = found.schema(hub.schema["ids"].dataType.elementType)
    above = stored.mapInArrow(partial(_met, sent, threshold), schema).toArrow()
    not_compared = keying.refused(sent)
    refused = comparing.refused_rows(not_compared.id, not_compared.level, not_compared.tokens.sizes)
    pairs = pa.concat_tables([above, pa.Table.from_batches(inside, refused.schema).cast(above.schema)])
    copies = pairs.filter(pairs["identical"]).sort_by([(name, "ascending") for name in ("low", "high_level", "high")])
    lows = copies["low"].combine_chunks().dictionary_encode()
    copies = copies.filter(pa.array(np.diff(lows.indices.to_numpy(), prepend=-1) != 0))
    in_copy = pc.or_(*(pc.is_in(pairs[name], value_set=lows.dictionary) for name in ("low", "high")))
    return copies, pairs.filter(pc.invert(in_copy)), pa.Table.from_batches([refused])


def stored(sent: Texts, gone: DataFrame) -> DataFrame:
    """STORED of those that are not gone (id), no copies among them."""
    left = pc.invert(pc.is_in(sent.ids, value_set=gone.select("id").toArrow()["id"]))
    rows = np.flatnonzero(left.to_numpy(zero_copy_only=False)[sent.text])
    table = pa.Table.from_batches([storing.to_stored(keying.picked(sent, rows))])
    return gone.sparkSession.createDataFrame(table, lexical.stored_schema(gone.schema["id"].dataType))


def _keyed(sent: Texts, rows: np.ndarray) -> Keyed:
    return keying.joined(list(keying.keyed_rows(keying.picked(sent, rows))))


def _met(sent: Texts, threshold: float, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """STORED -> pairs with a text of the batch below."""
    passing = sieve(sent.key)
    for batch in gulps(batches):
        for hub in keying.keyed_rows(keying.by_key(storing.from_stored(batch), passing)):
            keys = hub.key[np.flatnonzero(np.diff(hub.key, prepend=~hub.key[:1]))]
            begin, end = (np.searchsorted(sent.key, keys, side) for side in ("left", "right"))
            sizes = end - begin
            rows = np.repeat(end - np.cumsum(sizes), sizes) + np.arange(sizes.sum())
            for pairs in comparing.of_block(keying.joined([hub, _keyed(sent, rows)]), threshold, 1):
                yield pairs.filter(pc.equal(pairs["high_level"], 0))
