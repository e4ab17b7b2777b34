"""Similarity join of texts by exact Jaccard: near-duplicates share a key, and rows that share a key are compared.

A text has several *keyed rows*: key (64 bits), level, id, tokens. Its one *set row* has an odd key, the first half of a 128-bit hash of its
token set, and for tokens the second half: equal sets share it. Its *comparison rows* have even keys, by PartEnum and prefixes (exact) or by
bands of its signature (minhash), and the token hashes. Keyed rows are sent in ROW BLOCKS (see row_blocks).

A hub keeps INDEX rows of its texts, many texts in one: ids (array), and binary, one text after the other, counts (int32: the number of its
keys), keys (of all its rows), sizes (int32: of its token set) and tokens. The keyed rows are made of these again.
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
from personahub.dedup.arrow_columns import larger_batches
from personahub.dedup.kernels import minhash

MAX_PAIRS = 8  # of each text, in the first search: in families of texts that are all alike, each has as many
VERSION = 3  # of the keys: to be raised when tokens, hashes or keys come out differently, or are stored differently


def scheme(config: LexicalDedup) -> str:
    """All that two stored keys must share: what the tokens are, how keys are made of them, and the threshold of the decisions.

    Short, because Delta's statistics hold the first 32 characters.
    """
    parts: list[object] = [VERSION, config.method, config.threshold, config.unit, config.ngram]
    if config.method == "minhash":
        bands, rows = minhash.choose_bands(config.threshold, config.num_perm, config.min_recall)
        parts += [config.num_perm, f"{bands}x{rows}", config.seed]
    return " ".join(map(str, parts))


def to_index(texts: DataFrame, config: LexicalDedup) -> DataFrame:
    """Texts (id, text) -> INDEX rows. Texts that can not be compared have no keys."""
    columns = {"ids": T.ArrayType(texts.schema["id"].dataType)} | dict.fromkeys(
        ("counts", "keys", "sizes", "tokens"), T.BinaryType()
    )
    schema = T.StructType([T.StructField(name, each) for name, each in columns.items()])
    return texts.select("id", F.lit(0).alias("level"), "text").mapInArrow(partial(_to_index, config), schema)


def to_row_blocks(texts: DataFrame, config: LexicalDedup, bloom: np.ndarray | None, part_bits: int) -> DataFrame:
    """Texts (id, level, text) -> ROW BLOCKS of their keyed rows whose keys pass the filter, and of the texts that can not be compared.

    Only blocks of the same part_bits can be compared with each other.
    """
    rows = texts.select("id", F.col("level").cast("int"), "text")
    return rows.mapInArrow(partial(_to_blocks, config, bloom, part_bits), row_blocks.SCHEMA)


def index_to_row_blocks(index: DataFrame, bloom: np.ndarray | None, part_bits: int) -> DataFrame:
    """INDEX rows -> ROW BLOCKS of their keyed rows whose keys pass the filter, at level 0."""
    rows = index.select("ids", "counts", "keys", "sizes", "tokens")
    return rows.mapInArrow(partial(_index_to_blocks, bloom, part_bits), row_blocks.SCHEMA)


def similar_pairs(blocks: DataFrame, kind: T.DataType, threshold: float, max_pairs: int) -> DataFrame:
    """ROW BLOCKS -> PAIRS (see pair_rows). kind: the type of the ids.

    For each text its first `max_pairs` matches in each of its buckets. A copy of a set is paired with the first row that has the set, and
    with no other. Reasons of a refused text: empty_text, too_long. Rows at level 0 are decided: none of them is a `row`.
    """
    task = partial(bucket_pairs.pairs, to_arrow_type(kind), threshold, max_pairs)
    return blocks.repartition("part").mapInArrow(task, pair_rows.schema(kind))


def _to_index(config: LexicalDedup, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in larger_batches(batches):
        yield index_rows.to_rows(blocking_keys.of_texts(batch, config))


def _to_blocks(
    config: LexicalDedup, bloom: np.ndarray | None, part_bits: int, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    for batch in larger_batches(batches):
        texts = blocking_keys.of_texts(batch, config)
        for piece in blocking_keys.keyed_rows(texts, bloom):
            yield row_blocks.to_blocks(piece, part_bits)
        refused = blocking_keys.refused(texts)
        if len(refused.key):
            yield row_blocks.to_blocks(refused, part=row_blocks.REFUSED)


def _index_to_blocks(bloom: np.ndarray | None, part_bits: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in larger_batches(batches):
        for piece in blocking_keys.keyed_rows(index_rows.from_rows(batch), bloom):
            yield row_blocks.to_blocks(piece, part_bits)
