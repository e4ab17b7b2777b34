"""How a table is made, which schema version it was made with, and how one that lacks columns gets them.

Each for a table in a local folder, by its files, and for one behind a URI or in a catalog, by statements: `sql_name` is its name there.
"""

import json
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from deltalake import DeltaTable
from deltalake import Schema as DeltaSchema
from deltalake.exceptions import DeltaError
from pyspark.sql import SparkSession
from pyspark.sql import types as T

from personahub import schemas
from personahub.errors import ConfigError, InputError
from personahub.rows import arrow_schema
from personahub.storage.files import create_once

VERSION = "personahub.schemaVersion"  # the property of a table that holds it
FIRST_COMMIT = f"_delta_log/{0:020}.json"


# -- make -------------------------------------------------------------------------------------------------------------------------------


def make(folder: Path, name: str) -> None:
    """An empty Delta table: its first commit, which only one of two makes."""
    metadata = {
        "id": str(uuid.uuid4()),
        "format": {"provider": "parquet", "options": {}},
        "schemaString": schemas.TABLES[name].json(),
        "partitionColumns": list(schemas.PARTITIONS.get(name, ())),
        "configuration": _properties(name),
        "createdTime": int(time.time() * 1000),
    }
    actions = [{"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}, {"metaData": metadata}]
    first = folder / FIRST_COMMIT
    first.parent.mkdir(parents=True, exist_ok=True)
    create_once(first, "\n".join(map(json.dumps, actions)) + "\n")


def make_by_statement(spark: SparkSession, sql_name: str, name: str) -> None:
    """An empty Delta table, in one commit with its properties."""
    given = ", ".join(f"'{key}' = '{value}'" for key, value in _properties(name).items())
    parts = ", ".join(schemas.PARTITIONS.get(name, ()))
    by = f" PARTITIONED BY ({parts})" if parts else ""
    columns = _columns(schemas.TABLES[name])
    spark.sql(f"CREATE TABLE {sql_name} ({columns}) USING delta{by} TBLPROPERTIES ({given})").collect()


def _properties(name: str) -> dict[str, str]:
    """Of a new table."""
    partitions = schemas.PARTITIONS.get(name, ())  # have none, and need none
    queried = [field.name for field in schemas.TABLES[name] if field.name in schemas.QUERIED and field.name not in partitions]
    return {
        VERSION: str(schemas.VERSION),
        # of the columns that people ask by: no query skips files by a hash, and statistics of each column cost more than writing it
        "delta.dataSkippingStatsColumns": ",".join(queried),
        # a checkpoint costs as much as several commits, whose own files are read fast
        "delta.checkpointInterval": "100",
        "delta.setTransactionRetentionDuration": "interval 7 days",
    }


# -- versions: None is that of a table whose maker wrote none down ----------------------------------------------------------------------


def version_of(folder: Path, mangled: bool, given: str) -> str | None:
    """The schema version that a table was made with. mangled: as of `scratch.Scratch`. Raises InputError, which names the table `given`."""
    first = folder / FIRST_COMMIT
    try:
        if mangled:  # and its tables were not upgraded
            return _made_with(first) if first.exists() else None
        return DeltaTable(str(folder)).metadata().configuration.get(VERSION)
    except (DeltaError, OSError, ValueError, KeyError) as error:
        raise InputError(f"{given} cannot be read: {str(error).splitlines()[0]}") from None


def version_by_statement(spark: SparkSession, sql_name: str) -> str | None:
    rows = spark.sql(f"SHOW TBLPROPERTIES {sql_name}").collect()
    return next((row.value for row in rows if row.key == VERSION), None)


def other_version(name: str, found: str | None, given: str) -> ConfigError:
    """The error for a table of the hub `given` that this version of personahub cannot go on with."""
    return ConfigError(
        f"the table {name} of {given} has schema version {found or 1}, and this version of personahub writes version "
        f"{schemas.VERSION}: go on with the version that made it, or start a new root and bring its personas in with "
        "`personahub import personas`"
    )


def _made_with(commit: Path) -> str | None:
    """The schema version in a commit's metadata."""
    actions = map(json.loads, commit.read_text(encoding="utf-8").splitlines())
    return next((action["metaData"]["configuration"].get(VERSION) for action in actions if "metaData" in action), None)


# -- upgrade ----------------------------------------------------------------------------------------------------------------------------


def can_be_upgraded(name: str, there: T.StructType) -> bool:
    """Has a table of these columns none that the schema has not, or has otherwise?"""
    types = {field.name: field.dataType for field in schemas.TABLES[name]}
    return all(types.get(field.name) == field.dataType for field in there)


def lacking(name: str, there: Sequence[str]) -> T.StructType:
    """The columns of the schema that are not there."""
    return T.StructType([field for field in schemas.TABLES[name] if field.name not in there])


def upgrade(folder: Path, columns: T.StructType) -> None:
    """Add columns, null in all rows, and write the version down."""
    alter = DeltaTable(str(folder)).alter
    if columns.fields:
        alter.add_columns(list(DeltaSchema.from_arrow(arrow_schema(columns)).fields))
    alter.set_table_properties({VERSION: str(schemas.VERSION)}, raise_if_not_exists=False)


def upgrade_by_statement(spark: SparkSession, sql_name: str, columns: T.StructType) -> None:
    """As `upgrade`."""
    if columns.fields:
        spark.sql(f"ALTER TABLE {sql_name} ADD COLUMNS ({_columns(columns)})").collect()
    spark.sql(f"ALTER TABLE {sql_name} SET TBLPROPERTIES ('{VERSION}' = '{schemas.VERSION}')").collect()


def _columns(schema: T.StructType) -> str:
    return ", ".join(f"`{field.name}` {field.dataType.simpleString()}" for field in schema)
