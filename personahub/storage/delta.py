"""The only module that knows where tables lie and that they are Delta: read, append, insert what is new, scratch tables, compaction."""

import os
import re
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from deltalake import DeltaTable
from deltalake import Schema as DeltaSchema
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from personahub import engines, schemas
from personahub.config import Config
from personahub.errors import ConfigError, InputError
from personahub.rows import arrow_schema, frame

MANY_COMMITS = 16  # a stage that made so many to a table compacts its small files
SMALL_FILE = 64 << 20  # bytes: larger files are left as they are
# what engines say of a table that is not there, in a catalog or behind a URI; anything else may be a table that cannot be read just now
_ABSENT = (
    "TABLE_OR_VIEW_NOT_FOUND",
    "PATH_NOT_FOUND",
    "DELTA_TABLE_NOT_FOUND",
    "DELTA_PATH_DOES_NOT_EXIST",
    "No commit files found",
)


class Store:
    """The tables of one root (a path, or `catalog.schema`)."""

    def __init__(self, spark: SparkSession, config: Config) -> None:
        self.spark = spark
        self.embedded = engines.is_embedded(spark)
        if self.embedded and config.catalog:
            raise ConfigError(
                f"catalog: {config.catalog}: the embedded engine keeps no catalog from one run to the next. Name a folder (root), or take "
                "Spark (spark.engine: spark)"
            )
        self.catalog = config.catalog
        self.root = config.root if "://" in config.root else str(Path(config.root).absolute())
        self._known: set[str] = set()  # tables that exist
        self._commits: Counter[str] = Counter()  # by table, since the last compaction

    # -- tables ---------------------------------------------------------------------------------------------------------------------

    def location(self, name: str) -> str:
        """For people: where the table `name` is."""
        return f"{self.catalog}.{name}" if self.catalog else f"{self.root}/{name}"

    def exists(self, name: str) -> bool:
        """Is the table there? A local one is looked for in its folder: one that only cannot be read just now must not be taken for
        absent, or everything in it would be bought again. Raises what the engine says of any other trouble.
        """
        if name in self._known:
            return True
        if self._is_there(f"{self.root}/{name}", lambda: self._load(name)):
            self._known.add(name)
        return name in self._known

    def table(self, name: str) -> DataFrame:
        """The table; an absent one is an empty one."""
        if self.exists(name):
            return self._load(name)
        return frame(self.spark, [], schemas.TABLES[name])

    def create(self, name: str) -> None:
        """Before concurrent appends: two that both create a table conflict."""
        if not self.exists(name):
            self.record([], name)

    def append(self, rows: DataFrame, name: str, commit: str | None = None) -> None:
        """A blind append: it conflicts with no other. Columns are selected by the table's schema.

        commit: a name that no other commit has. Spark makes a commit of that name once, also where a client sends it a second time; the
        embedded engine's client sends nothing twice.
        """
        if self.embedded:
            self._prepare(name)
        self._save(_conform(rows, schemas.TABLES[name]), name, commit)
        self._known.add(name)
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
        distinct = _conform(rows, schemas.TABLES[name])
        if not stored or not distinct.groupBy(*keys).count().where("count > 1").isEmpty():
            distinct = distinct.dropDuplicates(list(keys))
        if not self.exists(name):
            self.append(distinct, name)
            return self.table(name).count()
        view = f"new_{name}_{uuid.uuid4().hex}"  # unique: Connect binds views late
        distinct.createOrReplaceTempView(view)
        match = " AND ".join(f"t.{key} <=> s.{key}" for key in keys)
        result = self.spark.sql(
            f"MERGE INTO {self._sql_name(name)} AS t USING {view} AS s ON {match} WHEN NOT MATCHED THEN INSERT *"
        ).collect()
        self.spark.catalog.dropTempView(view)
        self._commits[name] += 1
        return int(result[0][0])  # that of the rows affected, by whatever name

    def delete(self, name: str, condition: str = "true") -> None:
        """Remove the rows of a table that an SQL condition holds for: what is about to be made anew, never what was paid for."""
        if self.exists(name):
            self.spark.sql(f"DELETE FROM {self._sql_name(name)} WHERE {condition}").collect()

    def replace(self, rows: DataFrame, name: str) -> None:
        """The whole table anew, in one commit; `rows` may be made of it."""
        writer = _conform(rows, schemas.TABLES[name]).write.format("delta").mode("overwrite")
        if self.catalog:
            writer.saveAsTable(f"{self.catalog}.{name}")
        else:
            writer.save(f"{self.root}/{name}")

    def blank(self, name: str, key: str, ids: DataFrame, columns: Sequence[str]) -> int:
        """Null these columns in the rows whose `key` is an id of `ids`. Returns how many rows held anything there."""
        if not self.exists(name):
            return 0
        view = f"blank_{name}_{uuid.uuid4().hex}"
        ids.select("id").distinct().createOrReplaceTempView(view)
        holds = " OR ".join(f"t.{column} IS NOT NULL" for column in columns)
        kinds = {column: schemas.TABLES[name][column].dataType.simpleString() for column in columns}
        nulls = ", ".join(f"t.{column} = CAST(NULL AS {kind})" for column, kind in kinds.items())
        result = self.spark.sql(
            f"MERGE INTO {self._sql_name(name)} AS t USING {view} AS s ON t.{key} = s.id WHEN MATCHED AND ({holds}) THEN UPDATE SET {nulls}"
        ).collect()
        self.spark.catalog.dropTempView(view)
        return int(result[0][0])

    def remove(self, name: str, key: str, ids: DataFrame, condition: str) -> None:
        """Remove the rows whose `key` is an id of `ids` and that an SQL condition on t holds for: verdicts that are to fall again."""
        view = f"remove_{name}_{uuid.uuid4().hex}"
        ids.select("id").distinct().createOrReplaceTempView(view)
        self.spark.sql(
            f"MERGE INTO {self._sql_name(name)} AS t USING {view} AS s ON t.{key} = s.id AND {condition} WHEN MATCHED THEN DELETE"
        ).collect()
        self.spark.catalog.dropTempView(view)

    def vacuum(self, name: str) -> None:
        """Remove the files of earlier versions, at once: the caller holds the lease, and nobody reads them."""
        if not self.exists(name):
            return
        if self.embedded:  # which has no statement for it
            self._delta(name).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False, full=True)
            return
        # a table has a few folders, and its listing would be 10,000 tasks
        settings = {
            "spark.databricks.delta.retentionDurationCheck.enabled": "false",
            "spark.sql.sources.parallelPartitionDiscovery.parallelism": "4",
        }
        with self._with(settings):
            self.spark.sql(f"VACUUM {self._sql_name(name)} RETAIN 0 HOURS").collect()

    def compact(self) -> None:
        """At a stage's end: the many small files that windows leave make every later read slow."""
        for name, commits in self._commits.items():
            if commits >= MANY_COMMITS:
                self._compact(name)
        self._commits.clear()

    def _compact(self, name: str) -> None:
        if self.embedded:  # which has no statement for it
            self._delta(name).optimize.compact(target_size=SMALL_FILE)
            return
        # by default whatever is below 1 GB is written anew each time: all that a hub holds
        with self._with({"spark.databricks.delta.optimize.minFileSize": str(SMALL_FILE)}):
            self.spark.sql(f"OPTIMIZE {self._sql_name(name)}").collect()

    def read_delta(self, path: str) -> DataFrame:
        """A user's own Delta table, by path or by name. Raises InputError."""
        try:
            by_path = "/" in path or os.path.isdir(path)
            frame = self.spark.read.format("delta").load(path) if by_path else self.spark.read.table(path)
            frame.schema  # noqa: B018
            return frame
        except AnalysisException as error:
            raise InputError(f"{path} is not a Delta table that can be read: {str(error).splitlines()[0]}") from None

    # -- scratch: written once, read by the jobs of one stage, then dropped -----------------------------------------------------------

    def materialise(self, rows: DataFrame, name: str, partition_by: Sequence[str] = ()) -> DataFrame:
        """Write `rows` once and return what was written: the plan behind it never runs again."""
        if self.catalog:
            self.drop_scratch(name)
            # created first, then appended to: an observed frame loses its observation in a create-table-as-select
            for part in (self.spark.createDataFrame([], rows.schema), rows):
                part.write.format("delta").mode("append").partitionBy(*partition_by).saveAsTable(self._scratch(name))
            return self.scratch(name, rows.schema)
        # no dictionary: to look each value up costs more than a table that is read once or twice gains
        writer = rows.write.mode("overwrite").option("parquet.enable.dictionary", "false")
        writer.partitionBy(*partition_by).parquet(self._scratch(name))
        return self.scratch(name, rows.schema)

    def scratch(self, name: str, schema: T.StructType) -> DataFrame:
        """A scratch table written before."""
        if self.catalog:
            return self.spark.read.table(self._scratch(name))
        return self.spark.read.schema(schema).parquet(self._scratch(name))

    def window(self, name: str, schema: T.StructType, window: int) -> DataFrame:
        """The rows of one window of a scratch table that is partitioned by window and slot."""
        if self.catalog:
            return self.spark.read.table(self._scratch(name)).where(F.col("window") == window)
        # by itself: an engine that looks at all of them for each would take time quadratic in their number
        columns = [field for field in schema if field.name not in ("window", "slot")]
        rows = self.spark.read.schema(T.StructType(columns)).parquet(f"{self._scratch(name)}/window={window}")
        return rows.select(*(field.name for field in columns))

    def drop_scratch(self, *names: str) -> None:
        for name in names:
            if self.catalog:
                self.spark.sql(f"DROP TABLE IF EXISTS {self._scratch(name)}")
            elif "://" not in self.root:
                shutil.rmtree(self._scratch(name), ignore_errors=True)

    def drop_all_scratch(self) -> None:
        """What a run that died has left; the caller holds the lease."""
        if self.catalog:
            left = [row.tableName for row in self.spark.sql(f"SHOW TABLES IN {self.catalog} LIKE 'scratch_*'").collect()]
            for name in left:
                self.spark.sql(f"DROP TABLE IF EXISTS {self.catalog}.{name}")
        elif "://" not in self.root:
            shutil.rmtree(f"{self.root}/_scratch", ignore_errors=True)

    # -- held: rows on their way into several tables, which have no common commit -----------------------------------------------------

    def hold(self, rows: DataFrame, name: str) -> DataFrame:
        """Write `rows` in one commit and return them. Unlike scratch they outlive the run, until `release`."""
        writer = _conform(rows, rows.schema).write.format("delta").mode("overwrite").option("overwriteSchema", "true")
        writer = writer.option("delta.dataSkippingStatsColumns", "")  # it is read once, and whole
        if self.catalog:
            writer.saveAsTable(self._held(name))
        else:
            writer.save(self._held(name))
        return self._read_held(name)

    def held(self, name: str) -> DataFrame | None:
        """What a run that died was about to insert, or None."""
        return self._read_held(name) if self._is_there(self._held(name), lambda: self._read_held(name)) else None

    def release(self, name: str) -> None:
        """The rows have reached their tables."""
        if self.catalog:
            self.spark.sql(f"DROP TABLE IF EXISTS {self._held(name)}")
        elif "://" not in self.root:
            # in one step: of a folder that a kill leaves half removed no run could tell whether it still holds anything
            gone = Path(self._scratch(f"released-{uuid.uuid4().hex}"))
            gone.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                os.rename(self._held(name), gone)
            shutil.rmtree(gone, ignore_errors=True)
        else:
            self.hold(self._read_held(name).limit(0), name)

    @contextmanager
    def one_file_per_task(self) -> Iterator[None]:
        """While windows are read, each staged file is one task, and rows reach Python in small batches.

        Their plans are short and their rows few: to write and compile code for each task costs more than to do without.
        """
        settings = {
            "spark.sql.files.maxPartitionBytes": "1g",
            "spark.sql.files.openCostInBytes": "1g",
            "spark.sql.execution.arrow.maxRecordsPerBatch": "256",
            "spark.sql.codegen.wholeStage": "false",
            "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        }
        with self._with(settings):
            yield

    # -- inside ---------------------------------------------------------------------------------------------------------------------

    @contextmanager
    def _with(self, settings: Mapping[str, str]) -> Iterator[None]:
        """The session's own settings are back at the end."""
        before = {key: self.spark.conf.get(key, None) for key in settings}
        for key, value in settings.items():
            self.spark.conf.set(key, value)
        try:
            yield
        finally:
            for key, value in before.items():
                if value is None:
                    self.spark.conf.unset(key)
                else:
                    self.spark.conf.set(key, value)

    def _is_there(self, place: str, load: Callable[[], DataFrame]) -> bool:
        if self.catalog is None and "://" not in self.root:
            return _has_commit(Path(place))
        try:
            load().schema  # noqa: B018  analysed lazily under Connect: ask for the schema
            return True
        except AnalysisException as error:
            if not any(said in str(error) for said in _ABSENT):
                raise
            return False

    def _prepare(self, name: str) -> None:
        """The embedded engine makes a column NOT NULL where the first rows have no null, and leaves out columns that a table lacks: it is
        given tables of our schema.
        """
        schema = schemas.TABLES[name]
        if not self.exists(name):
            self._save(frame(self.spark, [], schema), name)
            self._known.add(name)
        missing = set(schema.names) - set(self._load(name).columns)
        if missing:
            new = DeltaSchema.from_arrow(arrow_schema(T.StructType([field for field in schema if field.name in missing])))
            self._delta(name).alter.add_columns(new.fields)

    def _delta(self, name: str) -> DeltaTable:
        return DeltaTable(f"{self.root}/{name}")

    def _load(self, name: str) -> DataFrame:
        if self.catalog:
            return self.spark.read.table(f"{self.catalog}.{name}")
        return self.spark.read.format("delta").load(f"{self.root}/{name}")

    def _save(self, rows: DataFrame, name: str, commit: str | None = None) -> None:
        # mergeSchema: a table that an earlier version made may lack a column
        writer = rows.write.format("delta").mode("append").options(optimizeWrite="false", mergeSchema="true")
        # of use only at its creation: no query skips files by a hash, and statistics of each column cost more than writing it
        writer = writer.option("delta.dataSkippingStatsColumns", "run_id" if "run_id" in rows.columns else "")
        # a checkpoint costs as much as several commits, whose own files are read fast
        writer = writer.options(**{"delta.checkpointInterval": "100", "delta.setTransactionRetentionDuration": "interval 7 days"})
        if commit is not None:
            writer = writer.options(txnAppId=commit, txnVersion="1")
        writer = writer.partitionBy(*schemas.PARTITIONS.get(name, ()))
        if self.catalog:
            writer.saveAsTable(f"{self.catalog}.{name}")
        else:
            writer.save(f"{self.root}/{name}")

    def _sql_name(self, name: str) -> str:
        return f"{self.catalog}.{name}" if self.catalog else f"delta.`{self.root}/{name}`"

    def _read_held(self, name: str) -> DataFrame:
        return self.spark.read.table(self._held(name)) if self.catalog else self.spark.read.format("delta").load(self._held(name))

    def _held(self, name: str) -> str:
        return f"{self.catalog}.held_{re.sub('[-.]', '_', name)}" if self.catalog else f"{self.root}/_held/{name}"

    def _scratch(self, name: str) -> str:
        return f"{self.catalog}.scratch_{re.sub('[-.]', '_', name)}" if self.catalog else f"{self.root}/_scratch/{name}"


def _has_commit(table: Path) -> bool:
    try:
        return any(re.match(r"\d{20}\.(json|checkpoint)", name) for name in os.listdir(table / "_delta_log"))
    except FileNotFoundError:
        return False


def _conform(rows: DataFrame, schema: T.StructType) -> DataFrame:
    # by the types' names: Connect sends a StringType as one with a collation, which Delta writes down and other engines cannot read
    return rows.select(*(F.col(field.name).cast(field.dataType.simpleString()) for field in schema))
