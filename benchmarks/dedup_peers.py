"""The peers of benchmarks/dedup.py, each as its users run it, on the words of personahub.text.tokens as ours: one question for all.

    python benchmarks/dedup_peers.py NAME INPUT OUT

INPUT is a parquet file with id and persona; OUT is written as npz: `low` and `high` (the pairs that it reports; rows in the order of the
ids) and `removed` (bool, one a row). It runs as a process of its own, so that its CPU and memory can be told apart.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from personahub.text import tokens

THRESHOLD, PERMUTATIONS = 0.9, 128
Pairs = tuple[np.ndarray, np.ndarray]


def datasketch(sets: list[frozenset[str]], params: tuple[int, int] | None = None) -> tuple[Pairs, np.ndarray]:
    """MinHashLSH with its own bands: a text that finds a kept one in the index is dropped, nothing is compared."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS, params=params)
    found = []
    for row, signature in enumerate(MinHash.generator(_bytes(sets), num_perm=PERMUTATIONS)):
        found += [(row, other) for other in index.query(signature)]
        index.insert(row, signature)
    pairs = _pairs(found)
    return pairs, first_come(len(sets), pairs)


def rensa(sets: list[frozenset[str]]) -> tuple[Pairs, np.ndarray]:
    """16 bands, candidates whose estimate reaches the threshold; the first of a group stays."""
    from rensa import RMinHash, RMinHashLSH

    index = RMinHashLSH(THRESHOLD, PERMUTATIONS, 16)
    signatures = RMinHash.from_token_sets([list(words) for words in sets], PERMUTATIONS, 42)
    found = []
    for row, signature in enumerate(signatures):
        found += [(row, other) for other in index.query(signature) if signature.jaccard(signatures[other]) >= THRESHOLD]
        index.insert(row, signature)
    pairs = _pairs(found)
    return pairs, first_come(len(sets), pairs)


def text_dedup(sets: list[frozenset[str]], bands: int = 5, rows: int = 25) -> tuple[Pairs, np.ndarray]:
    """The rule of text-dedup (5 bands of 25, nothing compared, connected components, the least row stays), made again."""
    from datasketch import MinHash

    signatures = np.array([each.hashvalues for each in MinHash.generator(_bytes(sets), num_perm=PERMUTATIONS)])
    pairs = banded(signatures, bands, rows)
    return pairs, components(len(sets), *pairs)


def mllib(sets: list[frozenset[str]], tables: int = 5) -> tuple[Pairs, np.ndarray]:
    """Spark MLlib's MinHashLSH: candidates share one of five hashes and are compared exactly. Same Spark settings as ours."""
    import pyarrow as pa
    from pyspark.ml.feature import CountVectorizer, MinHashLSH
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").config("spark.driver.memory", "2g").config("spark.ui.enabled", "false")
    spark = builder.config("spark.sql.shuffle.partitions", "4").config("spark.log.level", "ERROR").getOrCreate()
    texts = pa.table({"row": np.arange(len(sets)), "words": [sorted(words) for words in sets]})
    frame = spark.createDataFrame(texts).repartition(2)
    vectors = CountVectorizer(inputCol="words", outputCol="features", binary=True, vocabSize=1 << 20).fit(frame).transform(frame)
    model = MinHashLSH(inputCol="features", outputCol="hashes", numHashTables=tables, seed=1).fit(vectors)
    joined = model.approxSimilarityJoin(vectors, vectors, 1 - THRESHOLD + 1e-9, "distance")
    found = joined.where("datasetA.row > datasetB.row").selectExpr("datasetA.row AS low", "datasetB.row AS high").toArrow()
    pairs = found["low"].to_numpy(), found["high"].to_numpy()
    spark.stop()
    return pairs, first_come(len(sets), pairs)


PEERS: dict[str, Callable[[list[frozenset[str]]], tuple[Pairs, np.ndarray]]] = {
    "datasketch": datasketch,
    "datasketch-16x8": lambda sets: datasketch(sets, (16, 8)),
    "text-dedup": text_dedup,
    "text-dedup-16x8": lambda sets: text_dedup(sets, 16, 8),
    "rensa": rensa,
    "mllib": mllib,
}
NEEDS = {
    "rensa": "rensa",
    "mllib": "pyspark.sql.classic",
}  # what is not installed with personahub itself: its extras peers, spark


def banded(signatures: np.ndarray, bands: int, rows: int, star: bool = False) -> Pairs:
    """The pairs of rows that agree in a band, once each, not compared; `star`: only each row with the first of its bucket."""
    codes = [np.empty(0, np.int64)]
    for band in range(bands):
        part = np.ascontiguousarray(signatures[:, band * rows : (band + 1) * rows])
        keys = part.view(np.dtype((np.void, part.itemsize * rows))).ravel()
        order = np.argsort(keys, kind="stable")
        bounds = np.flatnonzero(np.r_[True, keys[order][1:] != keys[order][:-1], True])
        for start, end in zip(bounds[:-1][np.diff(bounds) > 1], bounds[1:][np.diff(bounds) > 1], strict=True):
            bucket = order[start:end]  # ascending: the sort is stable
            low, high = (bucket[1:], bucket[:1]) if star else [bucket[side] for side in np.tril_indices(len(bucket), -1)]
            codes.append(low * len(signatures) + high)
    together = np.unique(np.concatenate(codes))
    return together // len(signatures), together % len(signatures)


def components(count: int, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """bool[count]: all but the least row of each connected component are removed."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    label = connected_components(coo_array((np.ones(len(low), bool), (low, high)), (count, count)), directed=False)[1]
    least = np.unique(label, return_index=True)[1]
    removed = np.ones(count, bool)
    removed[least] = False
    return removed


def first_come(count: int, pairs: Pairs) -> np.ndarray:
    """bool[count]: row by row, removed if it has a pair with an earlier row that is kept."""
    removed = np.zeros(count, bool)
    for low, high in sorted(zip(*(side.tolist() for side in pairs), strict=True)):
        removed[low] |= not removed[high]
    return removed


def _bytes(sets: list[frozenset[str]]) -> Iterator[list[bytes]]:
    return ([word.encode() for word in words] for words in sets)


def _pairs(found: list[tuple[int, int]]) -> Pairs:
    both = np.array(found, np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=PEERS)
    parser.add_argument("input", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    texts = pq.read_table(given.input).sort_by("id").column("persona").to_pylist()
    (low, high), removed = PEERS[given.name]([tokens(text) for text in texts])
    np.savez(given.out, low=low, high=high, removed=removed)
    print(f"{given.name}: {len(low):,} pairs, {int(removed.sum()):,} of {len(removed):,} rows removed")


if __name__ == "__main__":
    sys.exit(main())
