"""Pairs of texts with the same words: near-duplicates have a key in common, and who shares a key is compared.

A text has several *keyed rows*: key (64 bits), level, id, tokens. Its one *set row* has a key that comes from its whole token set, by which
equal sets meet: an odd key and, for tokens, 64 more bits of the set's hash. Its *comparison rows* have even keys, by PartEnum and prefixes
(exact) or by bands of its signature (minhash), and the token hashes. Keyed rows travel in BUNDLES (see keying).

What a hub keeps of its texts is STORED, many texts in a row: ids (array), and binary, one text after the other, counts (int32: of its
keys), keys (those of all its rows), sizes (int32: of its token set) and tokens. From these their keyed rows are made again.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_type

from personahub.config import LexicalDedup
from personahub.dedup import comparing, keying
from personahub.dedup import found as found_rows
from personahub.dedup.kernels import minhash

MOST = 8  # pairs looked for above each text, the first time: in families of texts that are all alike, each has as many
VERSION = 2  # of the keys: to be raised when tokens, hashes or keys come out differently, or are stored differently
_BINARY = T.BinaryType()
_BUNDLES = "part int, key binary, level binary, size binary, tokens binary, id_size binary, ids binary"


def scheme(config: LexicalDedup) -> str:
    """All that two stored keys must share: what the tokens are, how keys are made of them, and the threshold of the verdicts.

    Short, because Delta tells files apart by the first 32 characters.
    """
    parts: list[object] = [VERSION, config.method, config.threshold, config.unit, config.ngram]
    if config.method == "minhash":
        bands, rows = minhash.choose_bands(config.threshold, config.num_perm, config.min_recall)
        parts += [config.num_perm, f"{bands}x{rows}", config.seed]
    return " ".join(map(str, parts))


def stored(texts: DataFrame, config: LexicalDedup) -> DataFrame:
    """Texts (id, text) -> STORED, without the texts that have no tokens, or more than keying.MAX_TOKENS different ones."""
    schema = _columns(ids=T.ArrayType(_id_type(texts)), counts=_BINARY, keys=_BINARY, sizes=_BINARY, tokens=_BINARY)
    return texts.select("id", "text").mapInArrow(partial(_to_stored, config), schema)


def levelled(texts: DataFrame, config: LexicalDedup) -> DataFrame:
    """Texts (id, level, text) -> STORED with a column more: levels (int32). Texts that can not be compared are there, without keys."""
    schema = _columns(
        ids=T.ArrayType(_id_type(texts)), counts=_BINARY, keys=_BINARY, sizes=_BINARY, tokens=_BINARY, levels=_BINARY
    )
    return texts.select("id", F.col("level").cast("int"), "text").mapInArrow(partial(_to_levelled, config), schema)


def bundles(texts: DataFrame, config: LexicalDedup, sieve: np.ndarray | None, part_bits: int) -> DataFrame:
    """Texts (id, level, text) -> BUNDLES of their keyed rows, those whose keys pass the sieve, and of the texts that have none.

    Only bundles with the same part_bits can be compared with each other.
    """
    rows = texts.select("id", F.col("level").cast("int"), "text")
    return rows.mapInArrow(partial(_to_bundles, config, sieve, part_bits), _BUNDLES)


def stored_bundles(hub: DataFrame, sieve: np.ndarray | None, part_bits: int) -> DataFrame:
    """STORED -> BUNDLES of their keyed rows, those whose keys pass the sieve, at level 0."""
    rows = hub.select("ids", "counts", "keys", "sizes", "tokens")
    return rows.mapInArrow(partial(_stored_to_bundles, sieve, part_bits), _BUNDLES)


def found(bundles: DataFrame, kind: T.DataType, threshold: float, most: int) -> DataFrame:
    """BUNDLES -> FOUND (see rounds), with two columns more: identical (the sets are equal) and refused (why a text was not compared).
    kind: of the ids.

    For each text its first `most` matches above it in each of its buckets. A copy of a set is paired with the first that has the set, and
    with nothing else. A refused text (empty_text, too_long) is a row without `high`. What has level 0 is no `low`.
    """
    together = bundles.repartition("part").sortWithinPartitions("part")
    return together.mapInArrow(partial(comparing.pairs, to_arrow_type(kind), threshold, most), found_rows.schema(kind))


def _columns(**columns: T.DataType) -> T.StructType:
    return T.StructType([T.StructField(name, kind) for name, kind in columns.items()])


def _id_type(rows: DataFrame) -> T.DataType:
    return rows.schema["id"].dataType


def _to_stored(config: LexicalDedup, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in keying.gulps(batches):
        yield keying.to_stored(batch, config)


def _to_levelled(config: LexicalDedup, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in keying.gulps(batches):
        yield keying.to_levelled(batch, config)


def _to_bundles(
    config: LexicalDedup, sieve: np.ndarray | None, part_bits: int, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    for batch in keying.gulps(batches):
        pieces, refused = keying.from_texts(batch, config, sieve)
        for piece in pieces:
            yield keying.to_bundles(piece, part_bits)
        if len(refused.key):
            yield keying.to_bundles(refused, part=keying.REFUSED)


def _stored_to_bundles(sieve: np.ndarray | None, part_bits: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in keying.gulps(batches):
        for piece in keying.from_stored(batch, sieve):
            yield keying.to_bundles(piece, part_bits)
