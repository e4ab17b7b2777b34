"""Pairs of texts with the same words: near-duplicates have a key in common, and who shares a key is compared.

KEYED rows: key (long), level, id, tokens (binary). Each text has one *set row*, whose key comes from its whole token set: equal sets meet
there. It has an odd key and, for tokens, 64 more bits of the set's hash. Its *comparison rows* have even keys, by PartEnum and prefixes
(exact) or by bands of its signature (minhash), and the packed token hashes. Keyed rows travel in BUNDLES (see keying).
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from personahub.config import LexicalDedup
from personahub.dedup import comparing, keying
from personahub.dedup import found as found_rows
from personahub.dedup.kernels import minhash

MOST = 8  # pairs looked for above each text, the first time: in families of texts that are all alike, each has as many
VERSION = 1  # of the keys: to be raised when tokens, hashes or keys come out differently
_LONG, _INT, _BINARY = T.LongType(), T.IntegerType(), T.BinaryType()


def scheme(config: LexicalDedup) -> str:
    """All that two stored keys must share: what the tokens are, how keys are made of them, and the threshold of the verdicts.

    Short, because Delta tells files apart by the first 32 characters.
    """
    parts: list[object] = [VERSION, config.method, config.threshold, config.unit, config.ngram]
    if config.method == "minhash":
        bands, rows = minhash.choose_bands(config.threshold, config.num_perm, config.min_recall)
        parts += [config.num_perm, f"{bands}x{rows}", config.seed]
    return " ".join(map(str, parts))


def keyed(texts: DataFrame, config: LexicalDedup) -> DataFrame:
    """Texts (id, level, text) -> KEYED. A text without tokens, or with more than keying.MAX_TOKENS different ones, has no rows."""
    schema = _columns(key=_LONG, level=_INT, id=_id_type(texts), tokens=_BINARY)
    return _texts(texts).mapInArrow(partial(_to_keyed, config), schema)


def keys(texts: DataFrame, config: LexicalDedup) -> DataFrame:
    """Texts (id, level, text) -> the column `key` of their KEYED rows."""
    return _texts(texts).mapInArrow(partial(_to_keys, config), _columns(key=_LONG))


def bundles(texts: DataFrame, config: LexicalDedup, sieve: np.ndarray | None = None) -> DataFrame:
    """Texts (id, level, text) -> BUNDLES of their keyed rows, those whose keys pass the sieve, and of the texts that have none."""
    return _texts(texts).mapInArrow(partial(_to_bundles, config, sieve), _bundle_schema(texts))


def bundled(rows: DataFrame) -> DataFrame:
    """KEYED -> BUNDLES."""
    return rows.select("key", "level", "id", "tokens").mapInArrow(_rows_to_bundles, _bundle_schema(rows))


def found(bundles: DataFrame, threshold: float, most: int) -> DataFrame:
    """BUNDLES -> FOUND (see rounds), with two columns more: identical (the sets are equal) and refused (why a text was not compared).

    For each text its first `most` matches above it in each of its buckets. A copy of a set is paired with the first that has the set, and
    with nothing else. A refused text (empty_text, too_long) is a row without `high`. What has level 0 is no `low`.
    """
    together = bundles.repartition("part").sortWithinPartitions("part")
    schema = found_rows.schema(bundles.schema["ids"].dataType.elementType)
    return together.mapInArrow(partial(comparing.pairs, threshold, most), schema)


def _columns(**columns: T.DataType) -> T.StructType:
    return T.StructType([T.StructField(name, kind) for name, kind in columns.items()])


def _bundle_schema(rows: DataFrame) -> T.StructType:
    return _columns(part=_INT, key=_BINARY, level=_BINARY, size=_BINARY, tokens=_BINARY, ids=T.ArrayType(_id_type(rows)))


def _id_type(rows: DataFrame) -> T.DataType:
    return rows.schema["id"].dataType


def _texts(rows: DataFrame) -> DataFrame:
    return rows.select("id", F.col("level").cast("int"), "text")


def _to_keyed(config: LexicalDedup, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield from map(keying.to_rows, keying.from_texts(batch, config)[0])


def _to_keys(config: LexicalDedup, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for rows in _to_keyed(config, batches):
        yield rows.select(["key"])


def _to_bundles(config: LexicalDedup, sieve: np.ndarray | None, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in keying.gulps(batches):
        pieces, refused = keying.from_texts(batch, config, sieve)
        yield from map(keying.to_bundles, pieces)
        if len(refused.key):
            yield keying.to_bundles(refused, keying.REFUSED)


def _rows_to_bundles(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield keying.to_bundles(keying.from_rows(batch))
