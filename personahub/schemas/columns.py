"""What schemas are made of."""

from pyspark.sql import types as T

STRING, LONG, INT, DOUBLE, BOOL = T.StringType(), T.LongType(), T.IntegerType(), T.DoubleType(), T.BooleanType()


def table(**columns: T.DataType) -> T.StructType:
    return T.StructType([T.StructField(name, kind) for name, kind in columns.items()])
