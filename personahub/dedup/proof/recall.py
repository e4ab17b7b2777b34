"""How many of the pairs within the threshold MinHash finds: measured on pairs that the exact keys find, those of 1 in `every` keys."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub.config import LexicalDedup
from personahub.dedup.kernels import exact, minhash, sets
from personahub.dedup.kernels.sets import TokenSets
from personahub.dedup.proof.meeting import keyed, keys_schema, pairs

KEYS = 300_000  # about so many exact keys are looked into
KEYS_OF_A_ROW = 3  # about, at the thresholds that are used
MOST = 32  # matches of one row under one key that are looked at
NEAR = 0.05  # pairs so close above the threshold are told apart: the misses are among them
_FIGURES = ("pairs", "found", "near", "near_found")


@dataclass(frozen=True)
class Recall:
    """Pairs of different sets within the threshold, and how many of them share a band; near: of those less than NEAR above it.

    every: a pair had a chance of 1 in `every` to be looked at. expected: the probability at the threshold itself.
    """

    pairs: int
    found: int
    near: int
    near_found: int
    every: int
    bands: int
    rows: int
    expected: float


def recall(rows: DataFrame, config: LexicalDedup, count: int, most_keys: int = KEYS) -> Recall:
    """Rows (id, level, text) that were compared, `count` of them -> what the bands of `config` find of their pairs.

    A pair is looked at by the least key that its sets share, so that each has the same chance; of a row with more than MOST matches under
    one key the first ones are.
    """
    every = max(1, KEYS_OF_A_ROW * count // most_keys)
    bands, band_rows = minhash.choose_bands(config.threshold, config.num_perm, config.min_recall)
    keys = rows.select("id", F.col("level").cast("int"), "text").mapInArrow(
        partial(_drawn_keys, config, every), keys_schema(rows)
    )
    found = pairs(keys, config.threshold, MOST).select("low", "high", "score").distinct()
    low, high = (rows.select(F.col("id").alias(side), F.col("text").alias(f"{side}_text")) for side in ("low", "high"))
    texts = found.join(low, on="low", how="inner").join(high, on="high", how="inner").select("low_text", "high_text", "score")
    figures = texts.mapInArrow(partial(_figures, config, every, bands, band_rows), ", ".join(f"{name} long" for name in _FIGURES))
    sums = figures.agg(*(F.coalesce(F.sum(name), F.lit(0)).alias(name) for name in _FIGURES)).collect()[0]
    return Recall(*sums, every, bands, band_rows, minhash.recall(config.threshold, bands, band_rows))


def _drawn_keys(config: LexicalDedup, every: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The keys that are drawn."""
    for batch in batches:
        tokens, _ = sets.token_sets(batch["text"], config.unit, config.ngram)
        row, key = exact.exact_keys(tokens, config.threshold)
        drawn = _is_drawn(key, every)
        yield keyed(batch, row[drawn], key[drawn], tokens)


def _is_drawn(keys: np.ndarray, every: int) -> np.ndarray:
    """By bits that have nothing to do with the order of the keys, so that which key is the least one does not matter."""
    return (keys * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(33)) % np.uint64(every) == 0


def _figures(
    config: LexicalDedup, every: int, bands: int, band_rows: int, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if not batch.num_rows:
            continue
        low, high = (sets.token_sets(batch[side], config.unit, config.ngram)[0] for side in ("low_text", "high_text"))
        by_least_key = _is_drawn(_least_shared(low, high, config.threshold), every)
        low, high = (sets.take(one, np.flatnonzero(by_least_key)) for one in (low, high))
        signed = (minhash.signatures(one, config.num_perm, config.seed) for one in (low, high))
        found = minhash.collides(*signed, bands, band_rows)
        near = batch["score"].to_numpy()[by_least_key] < config.threshold + NEAR
        figures = (len(low), found.sum(), near.sum(), (found & near).sum())
        yield pa.RecordBatch.from_pydict({name: pa.array([int(figure)]) for name, figure in zip(_FIGURES, figures, strict=True)})


def _least_shared(low: TokenSets, high: TokenSets, threshold: float) -> np.ndarray:
    """uint64: the least exact key that set i of both has."""
    keys = []
    for one in (low, high):
        row, key = exact.exact_keys(one, threshold)
        keys.append(np.split(key, np.searchsorted(row, np.arange(1, len(one)))))
    return np.array([np.intersect1d(*pair)[0] for pair in zip(*keys, strict=True)], np.uint64)
