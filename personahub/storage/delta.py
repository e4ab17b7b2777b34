"""The tables of a hub, in Delta: read, append, insert what is new, compact. With `scratch` the only module that knows where they lie."""

import os
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from deltalake import DeltaTable
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from personahub import engines, schemas
from personahub.config import Config
from personahub.errors import ConfigError, InputError
from personahub.rows import frame
from personahub.storage import table_versions
from personahub.storage.scratch import Scratch, conform, plain

MANY_COMMITS = 16  # a stage that made so many to a table compacts its small files
SMALL_FILE = 64 << 20  # bytes: larger files are left as they are


class Store(Scratch):
    """The tables of one root (a path), or of one `catalog.schema`."""

    def __init__(self, spark: SparkSession, config: Config) -> None:
        super().__init__(spark, config.root, config.catalog)
        self.given = config.catalog or config.root  # as its user names it
        self.embedded = engines.is_embedded(spark)
        if self.embedded and config.catalog:
            raise ConfigError(
                f"catalog: {config.catalog}: the embedded engine keeps no catalog from one run to the next. Name a folder (root), or take "
                "Spark (spark.engine: spark)"
            )
        self._known: set[str] = set()  # tables that exist
        self._older: set[str] = set()  # those of them that an earlier version made, and that lack columns
        self._commits: Counter[str] = Counter()  # by table, since the last compaction

    # -- tables ---------------------------------------------------------------------------------------------------------------------

    def exists(self, name: str) -> bool:
        """Is the table there? A local one is looked for in its folder: one that only cannot be read just now must not be taken for
        absent, or everything in it would be bought again. Raises what the engine says of any other trouble, and ConfigError for a table
        of another schema version, unless it only lacks columns: they are null, and the first write adds them.
        """
        if name in self._known:
            return True
        if self._is_there(self._place(name)):
            self._check_version(name)
            self._known.add(name)
        return name in self._known

    def table(self, name: str) -> DataFrame:
        """The table; an absent one is an empty one."""
        if not self.exists(name):
            return frame(self.spark, [], schemas.TABLES[name])
        rows = self._read(self._place(name))
        lacking = table_versions.lacking(name, rows.columns) if name in self._older else ()
        return rows.withColumns({field.name: F.lit(None).cast(field.dataType) for field in lacking}) if lacking else rows

    def create(self, name: str) -> None:
        """Make the table where it is absent, in one commit with its properties. Before concurrent appends: two that create it conflict."""
        if self.exists(name):
            self._upgrade(name)
            return
        if self._is_local:
            table_versions.make(self._folder(name), name)
        else:
            table_versions.make_by_statement(self.spark, self._sql_name(name), name)
        self._known.add(name)

    def append(self, rows: DataFrame, name: str, commit: str | None = None) -> None:
        """A blind append: it conflicts with no other. Columns are selected by the table's schema.

        commit: a name that no other commit has. Spark makes a commit of that name once, also where a client sends it a second time; the
        embedded engine's client sends nothing twice.
        """
        self.create(name)
        writer = conform(rows, schemas.TABLES[name]).write.format("delta").mode("append").option("optimizeWrite", "false")
        if commit is not None:
            writer = writer.options(txnAppId=commit, txnVersion="1")
        self._write(writer.partitionBy(*schemas.PARTITIONS.get(name, ())), self._place(name))
        self._commits[name] += 1

    def record(self, rows: Iterable[Sequence[Any]], name: str) -> None:
        """Append rows that were made here."""
        self.append(frame(self.spark, rows, schemas.TABLES[name]), name)

    def insert_new(self, rows: DataFrame, name: str, stored: bool = False) -> int:
        """Insert the rows whose key is not in the table yet; of several with one key, one. Returns how many were inserted.

        stored: the rows lie in files, where to read the keys alone, and see that none stands twice, costs less than to sort all by them.
        """
        if rows.isEmpty():  # often, and a MERGE of nothing takes seconds
            return 0
        keys = schemas.KEYS[name]
        distinct = conform(rows, schemas.TABLES[name])
        if not stored or not distinct.groupBy(*keys).count().where("count > 1").isEmpty():
            distinct = distinct.dropDuplicates(list(keys))
        if not self.exists(name):
            self.append(distinct, name)
            return self.table(name).count()
        self._upgrade(name)
        match = " AND ".join(f"t.{key} <=> s.{key}" for key in keys)
        inserted = self._merge(name, distinct, f"{match} WHEN NOT MATCHED THEN INSERT *")
        self._commits[name] += 1
        return inserted

    def delete(self, name: str, condition: str = "true") -> None:
        """Remove the rows of a table that an SQL condition holds for: what is about to be made anew, never what was paid for."""
        if self.exists(name):
            self.spark.sql(f"DELETE FROM {self._sql_name(name)} WHERE {condition}").collect()

    def replace(self, rows: DataFrame, name: str) -> None:
        """The whole table anew, in one commit; `rows` may be made of it."""
        self._write(conform(rows, schemas.TABLES[name]).write.format("delta").mode("overwrite"), self._place(name))

    def blank(self, name: str, key: str, ids: DataFrame, columns: Sequence[str]) -> int:
        """Null these columns in the rows whose `key` is an id of `ids`. Returns how many rows held anything there."""
        if not self.exists(name):
            return 0
        holds = " OR ".join(f"t.{column} IS NOT NULL" for column in columns)
        kinds = {column: schemas.TABLES[name][column].dataType.simpleString() for column in columns}
        nulls = ", ".join(f"t.{column} = CAST(NULL AS {kind})" for column, kind in kinds.items())
        return self._merge(
            name, ids.select("id").distinct(), f"t.{key} = s.id WHEN MATCHED AND ({holds}) THEN UPDATE SET {nulls}"
        )

    def remove(self, name: str, key: str, ids: DataFrame, condition: str) -> None:
        """Remove the rows whose `key` is an id of `ids` and that an SQL condition on t holds for: verdicts that are to fall again."""
        self._merge(name, ids.select("id").distinct(), f"t.{key} = s.id AND {condition} WHEN MATCHED THEN DELETE")

    def vacuum(self, name: str) -> None:
        """Remove the files of earlier versions, at once: the caller holds the lease, and no reader is left."""
        if self.exists(name):
            self._vacuum(self._place(name))

    def vacuum_held(self, name: str) -> None:
        """The same for rows that were held and released. Only behind a URI is anything left of them: elsewhere `release` removes it."""
        if self._is_there(self._held(name)):
            self._vacuum(self._held(name))

    def _vacuum(self, place: str) -> None:
        if self.embedded:  # which has no statement for it
            if self.mangled:
                raise ConfigError(
                    f"root {self.given}: Delta's library reads a backslash, and % before two digits, as something else, so that old files "
                    "cannot be removed: rename the folder"
                )
            DeltaTable(place).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False, full=True)
            return
        # a table has a few folders, and its listing would be 10,000 tasks
        settings = {
            "spark.databricks.delta.retentionDurationCheck.enabled": "false",
            "spark.sql.sources.parallelPartitionDiscovery.parallelism": "4",
        }
        with engines.with_settings(self.spark, settings):
            self.spark.sql(f"VACUUM {self._sql(place)} RETAIN 0 HOURS").collect()

    def compact(self) -> None:
        """At a stage's end: the many small files that windows leave make every later read slow."""
        for name, commits in self._commits.items():
            if commits >= MANY_COMMITS:
                self._compact(name)
        self._commits.clear()

    def _compact(self, name: str) -> None:
        if self.embedded:  # which has no statement for it
            if self.mangled:
                return
            DeltaTable(self._place(name)).optimize.compact(target_size=SMALL_FILE)
            return
        # by default whatever is below 1 GB is written anew each time: all that a hub holds
        with engines.with_settings(self.spark, {"spark.databricks.delta.optimize.minFileSize": str(SMALL_FILE)}):
            self.spark.sql(f"OPTIMIZE {self._sql_name(name)}").collect()

    def read_delta(self, path: str) -> DataFrame:
        """A user's own Delta table, by path or by name. Raises InputError."""
        try:
            by_path = "/" in path or os.path.isdir(path)
            place = plain(self.spark, os.path.abspath(path)) if os.path.isdir(path) else path
            frame = self.spark.read.format("delta").load(place) if by_path else self.spark.read.table(path)
            frame.schema  # noqa: B018
            return frame
        except AnalysisException as error:
            raise InputError(f"{path} is not a Delta table that can be read: {str(error).splitlines()[0]}") from None

    # -- inside ---------------------------------------------------------------------------------------------------------------------

    def _merge(self, name: str, rows: DataFrame, how: str) -> int:
        """MERGE `rows`, as s, into the table, as t. how: the condition and what follows it. Returns how many rows were affected."""
        view = f"merge_{name}_{uuid.uuid4().hex}"  # unique: Connect binds views late
        rows.createOrReplaceTempView(view)
        result = self.spark.sql(f"MERGE INTO {self._sql_name(name)} AS t USING {view} AS s ON {how}").collect()
        self.spark.catalog.dropTempView(view)
        return int(result[0][0])  # by whatever name

    def _check_version(self, name: str) -> None:
        found = self._version(name)
        if found == str(schemas.VERSION):
            return
        if found not in (None, *schemas.UPGRADED) or not table_versions.can_be_upgraded(
            name, self._read(self._place(name)).schema
        ):
            raise table_versions.other_version(name, found, self.given)
        self._older.add(name)

    def _version(self, name: str) -> str | None:
        if self._is_local:
            return table_versions.version_of(self._folder(name), self.mangled, f"{self.given}/{name}")
        return table_versions.version_by_statement(self.spark, self._sql_name(name))

    def _upgrade(self, name: str) -> None:
        """Add what a table of an earlier version lacks."""
        if name not in self._older:
            return
        if self.mangled:
            raise ConfigError(
                f"root {self.given}: an earlier version made its tables, and Delta's library, which adds the columns they lack, reads a "
                "backslash, and % before two digits, as something else: rename the folder"
            )
        lacking = table_versions.lacking(name, self._read(self._place(name)).columns)
        if self._is_local:
            table_versions.upgrade(self._folder(name), lacking)
        else:
            table_versions.upgrade_by_statement(self.spark, self._sql_name(name), lacking)
        self._older.discard(name)

    def _folder(self, name: str) -> Path:
        return Path(self._place(name))

    def _place(self, name: str) -> str:
        return f"{self.catalog}.{name}" if self.catalog else f"{self.root}/{name}"

    def _sql_name(self, name: str) -> str:
        return self._sql(self._place(name))

    def _sql(self, place: str) -> str:
        return place if self.catalog else f"delta.`{place}`"
