"""FOUND rows, which tell of pairs (see rounds) and of rows that were not compared: how all comparisons put them."""

import numpy as np
import pyarrow as pa
from pyspark.sql import types as T


def schema(kind: T.DataType) -> T.StructType:
    """kind: of the ids. identical: the two sets are equal; refused: why a row was not compared, which then has no `high`."""
    columns = {
        "low": kind,
        "low_level": T.IntegerType(),
        "high": kind,
        "high_level": T.IntegerType(),
        "score": T.DoubleType(),
        "identical": T.BooleanType(),
        "cut": T.BooleanType(),
        "refused": T.StringType(),
    }
    return T.StructType([T.StructField(name, one) for name, one in columns.items()])


def pairs(
    ids: pa.Array, level: pa.Array, low: np.ndarray, high: np.ndarray, score: np.ndarray, identical: bool, cut: np.ndarray
) -> pa.RecordBatch:
    """low, high: positions among the rows that `ids` and `level` are of."""
    at, above = pa.array(low), pa.array(high)
    columns = {
        "low": ids.take(at),
        "low_level": level.take(at),
        "high": ids.take(above),
        "high_level": level.take(above),
        "score": pa.array(score),
        "identical": pa.repeat(identical, len(low)),
        "cut": pa.array(cut),
        "refused": pa.nulls(len(low), pa.string()),
    }
    return pa.RecordBatch.from_pydict(columns)


def refused(ids: pa.Array, level: pa.Array, reasons: pa.Array) -> pa.RecordBatch:
    n = len(ids)
    columns = {
        "low": ids,
        "low_level": level,
        "high": pa.nulls(n, ids.type),
        "high_level": pa.nulls(n, pa.int32()),
        "score": pa.nulls(n, pa.float64()),
        "identical": pa.repeat(False, n),
        "cut": pa.repeat(False, n),
        "refused": reasons,
    }
    return pa.RecordBatch.from_pydict(columns)
