"""A hub that an earlier version of personahub made."""

import json
import uuid

import pytest
from pyspark.sql import types as T

from personahub import schemas
from personahub.config import Config
from personahub.errors import ConfigError
from personahub.storage.delta import FIRST_COMMIT, Store


def make(root, name, columns):
    """An empty table of these columns, as a version made it that wrote no schema version down."""
    metadata = {
        "id": str(uuid.uuid4()), "format": {"provider": "parquet", "options": {}}, "schemaString": T.StructType(columns).json(),
        "partitionColumns": [], "configuration": {}, "createdTime": 0,
    }  # fmt: skip
    first = root / name / FIRST_COMMIT
    first.parent.mkdir(parents=True)
    first.write_text(
        json.dumps({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}) + "\n" + json.dumps({"metaData": metadata})
    )


@pytest.mark.engines
def test_columns_that_it_lacks_are_null_until_the_first_write_adds_them(spark, tmp_path):
    make(tmp_path, "lineage", schemas.LINEAGE.fields[:2])
    store = Store(spark, Config(root=str(tmp_path)))
    assert store.table("lineage").schema.names == schemas.LINEAGE.names
    row = ("c", "p", "read", "answer")
    store.record([row], "lineage")
    again = Store(spark, Config(root=str(tmp_path)))
    assert [tuple(row) for row in again.table("lineage").collect()] == [row]
    assert again._version("lineage") == str(schemas.VERSION)


def test_columns_of_another_meaning_are_an_error(spark, tmp_path):
    make(tmp_path, "duplicates", [T.StructField("kept_by", T.StringType())])
    with pytest.raises(ConfigError, match="schema version 1"):
        Store(spark, Config(root=str(tmp_path))).table("duplicates")
