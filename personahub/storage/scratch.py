"""Tables that do not outlive their use: scratch, written once and read by the jobs of one stage; held rows on their way into tables."""

import atexit
import functools
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, DataFrameWriter, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from personahub import engines
from personahub.errors import ConfigError
from personahub.rows import Materialise

# what engines say of a table that is not there, in a catalog or behind a URI; anything else may be a table that cannot be read just now
_ABSENT = (
    "TABLE_OR_VIEW_NOT_FOUND",
    "PATH_NOT_FOUND",
    "DELTA_TABLE_NOT_FOUND",
    "DELTA_PATH_DOES_NOT_EXIST",
    "No commit files found",
)

_PLAIN = re.compile(r"[\w./~@+=,:-]*", re.ASCII)  # of a path that every engine takes as it is
_PATTERNS = "[]{}*?`"
_MANGLED = re.compile(r"\\|%[0-9A-Fa-f]{2}")


class Scratch:
    """Scratch and held tables of one root (a path or a URI), or of one `catalog.schema`."""

    def __init__(self, spark: SparkSession, root: str, catalog: str | None) -> None:
        self.spark, self.catalog = spark, catalog
        self.root = root if catalog or "://" in root else plain(spark, os.path.abspath(root))
        self._is_local = catalog is None and "://" not in root
        self.mangled = (
            self._is_local and _MANGLED.search(os.path.realpath(root)) is not None
        )  # deltalake cannot open tables there

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

    @contextmanager
    def scope(self, prefix: str) -> Iterator[Materialise]:
        """`materialise` under names that begin with `prefix`. What it wrote is dropped at the end: insert what is made of it before."""
        names: list[str] = []

        def materialise(rows: DataFrame, name: str) -> DataFrame:
            names.append(f"{prefix}.{name}")
            return self.materialise(rows, names[-1])

        try:
            yield materialise
        finally:
            self.drop_scratch(*names)

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
        """Behind a URI they stay until `drop_all_scratch`: what removes them there is a job of the engine."""
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
        else:  # by the engine, which alone has the key to what lies there
            nothing = self.spark.createDataFrame([], T.StructType([T.StructField("nothing", T.StringType())]))
            nothing.write.mode("overwrite").parquet(f"{self.root}/_scratch")

    # -- held: rows on their way into several tables, which have no common commit -----------------------------------------------------

    def hold(self, rows: DataFrame, name: str) -> DataFrame:
        """Write `rows` in one commit and return them. Unlike scratch they outlive the run, until `release`."""
        writer = conform(rows, rows.schema).write.format("delta").mode("overwrite").option("overwriteSchema", "true")
        self._write(writer.option("delta.dataSkippingStatsColumns", ""), self._held(name))  # it is read once, and whole
        return self._read(self._held(name))

    def held(self, name: str) -> DataFrame | None:
        """What a run that died was about to insert, or None."""
        return self._read(self._held(name)) if self._is_there(self._held(name)) else None

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
            self.hold(self._read(self._held(name)).limit(0), name)

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
        with engines.with_settings(self.spark, settings):
            yield

    # -- inside ---------------------------------------------------------------------------------------------------------------------

    def _is_there(self, place: str) -> bool:
        if self._is_local:
            return _has_commit(Path(place))
        try:
            self._read(place).schema  # noqa: B018  analysed lazily under Connect: ask for the schema
            return True
        except AnalysisException as error:
            if not any(said in str(error) for said in _ABSENT):
                raise
            return False

    def _read(self, place: str) -> DataFrame:
        """A Delta table, by its path or its name in the catalog."""
        return self.spark.read.table(place) if self.catalog else self.spark.read.format("delta").load(place)

    def _write(self, writer: DataFrameWriter, place: str) -> None:
        if self.catalog:
            writer.saveAsTable(place)
        else:
            writer.save(place)

    def _held(self, name: str) -> str:
        return f"{self.catalog}.held_{re.sub('[-.]', '_', name)}" if self.catalog else f"{self.root}/_held/{name}"

    def _scratch(self, name: str) -> str:
        return f"{self.catalog}.scratch_{re.sub('[-.]', '_', name)}" if self.catalog else f"{self.root}/_scratch/{name}"


def plain(spark: SparkSession, root: str) -> str:
    """The root, or a link to it whose name says the same to every engine: Spark takes some characters for patterns, Sail reads and writes
    Delta tables only where the path is the same in a URL. Raises ConfigError for a root that is no folder, or whose name cannot be had.
    """
    there = root
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there):
        raise ConfigError(f"root {root}: {there} is no folder: set root to a folder, which need not be there yet")
    if _PLAIN.fullmatch(root):
        return root
    if engines.is_on_this_machine(spark):
        try:
            os.makedirs(root, exist_ok=True)  # what a link leads to must be there
        except OSError as error:
            raise ConfigError(f"root {root}: cannot be made: {error.strerror}") from None
        return _link(root)
    if set(root) & set(_PATTERNS):
        raise ConfigError(f"root {root}: Spark takes {' '.join(_PATTERNS)} for patterns: name a folder without them")
    return root


@functools.cache
def _link(root: str) -> str:
    """It ends with this process, not with the hub: a frame may be read later."""
    folder = tempfile.mkdtemp(prefix="personahub-root-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # takes the link, not what it leads to
    os.symlink(root, f"{folder}/root")
    return f"{folder}/root"


def _has_commit(table: Path) -> bool:
    try:
        return any(re.match(r"\d{20}\.(json|checkpoint)", name) for name in os.listdir(table / "_delta_log"))
    except FileNotFoundError:
        return False


def conform(rows: DataFrame, schema: T.StructType) -> DataFrame:
    # by the types' names: Connect sends a StringType as one with a collation, which Delta writes down and other engines cannot read
    return rows.select(*(F.col(field.name).cast(field.dataType.simpleString()) for field in schema))
