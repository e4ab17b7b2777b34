"""PAIRS: one row for each pair within the threshold, and one for each row that can not be compared.

row, row_level: the row that may be removed. earlier, earlier_level: a row that comes before it by (level, id); null where `row` was
refused. score: double. identical: the two token sets are equal. truncated: `row` may have more pairs after this one, which were not
searched. refused: why `row` was not compared, else null.
"""

import numpy as np
import pyarrow as pa
from pyspark.sql import types as T

_NAMES = ["row", "row_level", "earlier", "earlier_level", "score", "identical", "truncated", "refused"]


def schema(kind: T.DataType) -> T.StructType:
    """kind: the type of the ids."""
    level, flag = T.IntegerType(), T.BooleanType()
    types = (kind, level, kind, level, T.DoubleType(), flag, flag, T.StringType())
    return T.StructType([T.StructField(name, each) for name, each in zip(_NAMES, types, strict=True)])


def pairs(
    ids: pa.Array,
    level: pa.Array,
    row: np.ndarray,
    earlier: np.ndarray,
    score: np.ndarray,
    identical: bool,
    truncated: np.ndarray,
) -> pa.RecordBatch:
    """row, earlier: positions in `ids` and `level`."""
    n, at, before = len(row), pa.array(row), pa.array(earlier)
    named = [ids.take(at), level.take(at), ids.take(before), level.take(before), pa.array(score)]
    return pa.RecordBatch.from_arrays([*named, pa.repeat(identical, n), pa.array(truncated), pa.nulls(n, pa.string())], _NAMES)


def refused(ids: pa.Array, level: pa.Array, reasons: pa.Array) -> pa.RecordBatch:
    n, no = len(ids), pa.repeat(False, len(ids))
    nothing = [pa.nulls(n, ids.type), pa.nulls(n, pa.int32()), pa.nulls(n, pa.float64())]
    return pa.RecordBatch.from_arrays([ids, level, *nothing, no, no, reasons], _NAMES)
