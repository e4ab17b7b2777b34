"""Pairs of texts with the same words: near-duplicates have a key in common, and who shares a key is compared.

A text has several *keyed rows*: key (64 bits), level, id, tokens. Its one *set row* has a key that comes from its whole token set, by which
equal sets meet: an odd key and, for tokens, 64 more bits of the set's hash. Its *comparison rows* have even keys, by PartEnum and prefixes
(exact) or by bands of its signature (minhash), and the token hashes. Keyed rows travel in BUNDLES (see bundling).

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
from personahub.dedup import blocking_keys, bucket_pairs, index_rows, pair_rows, row_blocks
from personahub.dedup.arrow_columns import gulps
from personahub.dedup.kernels import minhash

MOST = 8  # pairs looked for above each text, the first time: in families of texts that are all alike, each has as many
VERSION = 2  # of the keys: to be raised when tokens, hashes or keys come out differently, or are stored differently
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
    """Texts (id, text) -> STORED. Texts that can not be compared have no keys."""
    schema = stored_schema(texts.schema["id"].dataType)
    return texts.select("id", F.lit(0).alias("level"), "text").mapInArrow(partial(_to_stored, config), schema)


def stored_without(texts: DataFrame, config: LexicalDedup, gone: DataFrame) -> DataFrame:
    """STORED of the texts that are not gone (id)."""
    return stored(texts.join(gone, on="id", how="left_anti"), config)


def stored_schema(kind: T.DataType) -> T.StructType:
    """kind: of the ids."""
    columns = {"ids": T.ArrayType(kind)} | dict.fromkeys(("counts", "keys", "sizes", "tokens"), T.BinaryType())
    return T.StructType([T.StructField(name, each) for name, each in columns.items()])


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
    return bundles.repartition("part").mapInArrow(
        partial(bucket_pairs.pairs, to_arrow_type(kind), threshold, most), pair_rows.schema(kind)
    )


def _to_stored(config: LexicalDedup, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in gulps(batches):
        yield index_rows.to_stored(blocking_keys.of_texts(batch, config))


def _to_bundles(
    config: LexicalDedup, sieve: np.ndarray | None, part_bits: int, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    for batch in gulps(batches):
        texts = blocking_keys.of_texts(batch, config)
        for piece in blocking_keys.keyed_rows(blocking_keys.by_key(texts, sieve)):
            yield row_blocks.to_bundles(piece, part_bits)
        refused = blocking_keys.refused(texts)
        if len(refused.key):
            yield row_blocks.to_bundles(refused, part=row_blocks.REFUSED)


def _stored_to_bundles(sieve: np.ndarray | None, part_bits: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in gulps(batches):
        for piece in blocking_keys.keyed_rows(blocking_keys.by_key(index_rows.from_stored(batch), sieve)):
            yield row_blocks.to_bundles(piece, part_bits)
