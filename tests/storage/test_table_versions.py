"""Tables as they are made, and those that an earlier version of personahub made."""

import json
import uuid

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import types as T

from personahub import schemas
from personahub.config import Config
from personahub.errors import ConfigError, InputError
from personahub.rows import arrow_schema
from personahub.storage import table_versions
from personahub.storage.delta import Store
from personahub.storage.table_versions import FIRST_COMMIT, VERSION

CURRENT = str(schemas.VERSION)


def make(root, name, columns, version=None, partitions=()):
    """An empty table of these columns, as an earlier version made it."""
    metadata = {
        "id": str(uuid.uuid4()), "format": {"provider": "parquet", "options": {}}, "schemaString": T.StructType(columns).json(),
        "partitionColumns": list(partitions), "configuration": {VERSION: version} if version else {}, "createdTime": 0,
    }  # fmt: skip
    first = root / name / FIRST_COMMIT
    first.parent.mkdir(parents=True)
    first.write_text(
        json.dumps({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}) + "\n" + json.dumps({"metaData": metadata})
    )


def version(folder):
    """As the library says, and as the first commit does, where the library cannot open it."""
    found = {table_versions.version_of(folder, mangled, "the table") for mangled in (False, True)}
    assert len(found) == 1
    return found.pop()


@pytest.mark.parametrize("name", ["completions", "personas"])
def test_a_table_is_made_once_with_its_columns_partitions_and_properties(tmp_path, name):
    folder = tmp_path / name
    table_versions.make(folder, name)
    before = (folder / FIRST_COMMIT).read_text()
    table_versions.make(folder, name)
    assert (folder / FIRST_COMMIT).read_text() == before
    assert [path.name for path in (folder / "_delta_log").iterdir()] == [FIRST_COMMIT.rpartition("/")[2]]
    made = DeltaTable(str(folder))
    assert [field.name for field in made.schema().fields] == schemas.TABLES[name].names
    assert tuple(made.metadata().partition_columns) == schemas.PARTITIONS.get(name, ())
    assert version(folder) == CURRENT


def test_an_upgrade_adds_the_columns_that_lack_and_writes_the_version_down(tmp_path):
    make(tmp_path, "lineage", schemas.LINEAGE.fields[:2])
    folder = tmp_path / "lineage"
    assert version(folder) is None
    lacking = table_versions.lacking("lineage", ["child_id", "parent_id"])
    assert lacking.names == ["relation", "completion_id"]
    table_versions.upgrade(folder, lacking)
    assert [field.name for field in DeltaTable(str(folder)).schema().fields] == schemas.LINEAGE.names
    assert table_versions.version_of(folder, False, "the table") == CURRENT


@pytest.mark.parametrize(
    ("columns", "fits"),
    [
        (schemas.RUNS.fields[:3], True),
        (schemas.RUNS.fields[::-1], True),
        ([*schemas.RUNS.fields, T.StructField("more", T.StringType())], False),
        ([T.StructField("run_id", T.LongType())], False),
    ],
)
def test_only_a_table_that_lacks_columns_can_be_upgraded(columns, fits):
    assert table_versions.can_be_upgraded("runs", T.StructType(columns)) is fits


@pytest.mark.parametrize("mangled", [False, True])
def test_a_damaged_commit_is_an_error_with_the_name_of_the_table(tmp_path, mangled):
    table_versions.make(tmp_path / "runs", "runs")
    (tmp_path / "runs" / FIRST_COMMIT).write_text("damaged")
    with pytest.raises(InputError, match="hub/runs cannot be read"):
        table_versions.version_of(tmp_path / "runs", mangled, "hub/runs")


@pytest.mark.engines
def test_columns_that_it_lacks_are_null_until_the_first_write_adds_them(spark, tmp_path):
    make(tmp_path, "lineage", schemas.LINEAGE.fields[:2])
    store = Store(spark, Config(root=str(tmp_path)))
    assert store.table("lineage").schema.names == schemas.LINEAGE.names
    row = ("c", "p", "read", "answer")
    store.record([row], "lineage")
    again = Store(spark, Config(root=str(tmp_path)))
    assert [tuple(row) for row in again.table("lineage").collect()] == [row]
    assert table_versions.version_of(tmp_path / "lineage", False, "lineage") == CURRENT


NEW = ("cached_tokens", "cache_write_tokens", "reasoning_tokens", "tokens_estimated")  # in version 3


@pytest.mark.engines
def test_a_ledger_of_the_version_before_goes_on(spark, tmp_path):
    columns = T.StructType([field for field in schemas.COMPLETIONS if field.name not in NEW])
    make(tmp_path, "completions", columns.fields, version="2", partitions=["stage"])
    earlier = {"completion_id": "before", "stage": "text-to-persona", "final": True, "prompt_tokens": 7}
    write_deltalake(tmp_path / "completions", pa.Table.from_pylist([earlier], schema=arrow_schema(columns)), mode="append")
    config = Config(root=str(tmp_path))
    store = Store(spark, config)
    [row] = store.table("completions").collect()
    assert (row.completion_id, row.prompt_tokens, row.cached_tokens, row.tokens_estimated) == ("before", 7, None, None)
    assert store._version("completions") == "2"  # to read it changes nothing
    later = {**dict.fromkeys(schemas.COMPLETIONS.names), **earlier, "completion_id": "after", "cached_tokens": 3}
    store.record([tuple(later.values())], "completions")
    again = Store(spark, config).table("completions")
    assert again.schema.names == [*columns.names, *NEW]
    found = {row.completion_id: (row.stage, row.prompt_tokens, row.cached_tokens) for row in again.collect()}
    assert found == {"before": ("text-to-persona", 7, None), "after": ("text-to-persona", 7, 3)}
    assert table_versions.version_of(tmp_path / "completions", False, "completions") == CURRENT


@pytest.mark.spark
def test_a_table_of_a_catalog_gets_the_columns_that_it_lacks(spark):
    spark.sql("CREATE SCHEMA IF NOT EXISTS upgrade_test")
    spark.sql("CREATE TABLE upgrade_test.lineage (child_id STRING, parent_id STRING) USING delta")
    config = Config(catalog="spark_catalog.upgrade_test")
    store = Store(spark, config)
    assert store.table("lineage").count() == 0
    row = ("c", "p", "read", "answer")
    store.record([row], "lineage")
    assert [tuple(row) for row in Store(spark, config).table("lineage").collect()] == [row]
    assert table_versions.version_by_statement(spark, "spark_catalog.upgrade_test.lineage") == CURRENT
    spark.sql("DROP SCHEMA upgrade_test CASCADE")


def test_columns_of_another_meaning_are_an_error(spark, tmp_path):
    make(tmp_path, "duplicates", [T.StructField("kept_by", T.StringType())])
    with pytest.raises(ConfigError, match="schema version 1"):
        Store(spark, Config(root=str(tmp_path))).table("duplicates")


def test_a_table_of_another_schema_version_says_what_to_do(spark, tmp_path):
    config = Config(root=str(tmp_path))
    store = Store(spark, config)
    store.record([("c", "p", "read", "x")], "lineage")
    store.replace(store.table("lineage"), "lineage")  # keeps the version
    assert Store(spark, config).table("lineage").count() == 1
    DeltaTable(f"{store.root}/lineage").alter.set_table_properties({VERSION: "1"}, raise_if_not_exists=False)
    with pytest.raises(ConfigError, match="schema version 1, and this version of personahub writes version 3: go on with"):
        Store(spark, config).table("lineage")


def test_columns_that_people_ask_by_have_statistics(tmp_path):
    table_versions.make(tmp_path / "personas", "personas")
    properties = DeltaTable(str(tmp_path / "personas")).metadata().configuration
    assert properties["delta.dataSkippingStatsColumns"] == "hop,language"
