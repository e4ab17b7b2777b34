"""DIR, the folder of the results of `personahub dedup`: kept, duplicates and, if there are any, rejects.

They are written in DIR/_scratch, counted there against the input, and then moved to their places: a run that ends before that leaves DIR as
it was. (Behind a URL nothing can be moved: there they are written in place.)
"""

import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from itertools import starmap
from pathlib import Path

from pyarrow import parquet
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from personahub.config import expanded
from personahub.dedup.proof.audit import Finding
from personahub.dedup_tool.frame import Counts, Deduplicated, check_sums
from personahub.dedup_tool.input import Source, is_remote
from personahub.dedup_tool.rows import quoted, sortable
from personahub.errors import ConfigError, InputError
from personahub.storage.lease import Lease

RESULTS = ("kept", "duplicates", "rejects")
PATIENCE_SECONDS = 10.0  # for a folder that can not be removed
QUIET_SECONDS = 0.5  # in which no task of a run that failed has written any more
_NOT_IN_DELTA = " ,;{}()\n\t="  # in names of columns


class Results:
    """DIR and the format of the results."""

    def __init__(self, out: str, format: str, overwrite: bool) -> None:
        self.out, self.format, self.overwrite = out, format, overwrite
        self.remote = is_remote(out)
        self.folder = Path(expanded(out)).absolute()
        self._scratch = self.folder / "_scratch"
        self.root = out.rstrip("/") if self.remote else str(self.folder)  # the same for the engine: `Scratch.root`

    def check(self, source: Source) -> None:
        """Before the engine starts. Raises ConfigError: DIR is a file, holds results already, or holds or is held by the input."""
        if self.remote:
            return
        if self.folder.exists() and not self.folder.is_dir():
            raise ConfigError(f"--out {self.out} is a file: name a folder")
        self._check_free([name for name in RESULTS if (self.folder / name).exists()])
        inputs = [Path(path).resolve() for path in source.files if not is_remote(path)]
        mine = {(self.folder / name).resolve() for name in (*RESULTS, "_scratch")}
        around = Path(source.folder).resolve() if source.folder else inputs[0] if inputs else None
        if any(mine & {path, *path.parents} for path in inputs) or around in (
            self.folder.resolve(),
            *self.folder.resolve().parents,
        ):
            raise ConfigError(
                f"the input {source.name} and the results in {self.out} would lie in each other: name another --out"
            )

    def check_remote(self, spark: SparkSession) -> None:
        """The same for a DIR that only the engine can read."""
        if self.remote:
            self._check_free([name for name in RESULTS if self.load(spark, name) is not None])

    def check_names(self, rows: DataFrame) -> None:
        wrong = [name for name in rows.columns if set(name) & set(_NOT_IN_DELTA)]
        if wrong and self.format == "delta":
            raise InputError(f"a Delta table cannot have a column named {wrong[0]!r}: rename it, or write with --format parquet")

    @contextmanager
    def workplace(self) -> Iterator[None]:
        """Locks DIR, and removes its scratch folder at the end, and DIR itself if it is empty.

        Raises RootInUse, or ConfigError where DIR cannot be made.
        """
        if self.remote:
            yield
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot write into --out {self.out}: {error.strerror}") from None
        try:
            with Lease(self.folder, f"dedup-{uuid.uuid4().hex[:8]}"):
                _remove(self._scratch)  # of a run that was killed
                try:
                    yield
                except BaseException:
                    _remove(self._scratch, QUIET_SECONDS)
                    raise
                _remove(self._scratch)
        finally:
            if not any(self.folder.iterdir()):
                self.folder.rmdir()

    def publish(self, spark: SparkSession, done: Deduplicated, check_unchanged: Callable[[], None]) -> None:
        """Write the results, count them, move them to their places. Raises PersonahubError if a row is missing, and what the check does."""
        frames = {"kept": done.kept, "duplicates": done.duplicates}
        if done.counts.rejects or (self.remote and self.overwrite):
            frames["rejects"] = done.rejects
        written = {}
        for name, frame in frames.items():
            target = f"{self.root}/{name}" if self.remote else f"{self.root}/_scratch/results/{name}"
            frame.write.format(self.format).mode("overwrite" if self.overwrite else "error").save(target)
            if not self.remote and not Path(target).exists():  # where there is no row, the embedded engine writes no file
                Path(target).mkdir(parents=True)
                parquet.write_table(frame.limit(0).toArrow(), f"{target}/part-0.parquet")
            written[name] = spark.read.format(self.format).load(target).count()
        check_sums(Counts(done.counts.rows, written["kept"], {"": written["duplicates"]}, {"": written.get("rejects", 0)}))
        check_unchanged()
        for name in () if self.remote else RESULTS:
            place = self.folder / name
            if place.exists():
                shutil.rmtree(place)
            if name in frames:
                (self._scratch / "results" / name).rename(place)

    def load(self, spark: SparkSession, name: str) -> DataFrame | None:
        """A result in DIR; None if there is none."""
        if not self.remote and not (self.folder / name).exists():  # where there is no file, the embedded engine reads no column
            return None
        try:
            rows = spark.read.format(self.format).load(f"{self.root}/{name}")
            rows.schema  # noqa: B018  analysed lazily under Connect
            return rows
        except AnalysisException:
            return None

    def _check_free(self, lying: list[str]) -> None:
        if lying and not self.overwrite:
            held = ", ".join(lying)
            raise ConfigError(f"{self.out} holds results already ({held}): name another --out, or replace them with --overwrite")


def all_there(staged: DataFrame, kept: DataFrame, duplicates: DataFrame, rejects: DataFrame) -> Finding:
    """staged: the input, read again. The rows in kept are, in all columns, those of the input that are in neither of the others."""
    ids, reject_ids = duplicates.select("id"), rejects.select("id")
    readable = staged.where(F.col("unreadable").isNull())
    left = readable.join(ids.unionByName(reject_ids), on="id", how="left_anti").select("row.*")
    frames = {"in": staged.select("unreadable"), "duplicates": ids, "rejects": reject_ids, "kept": kept, "left": left}
    found = {row.name: tuple(row)[1:] for row in reduce(DataFrame.union, starmap(_checksum, frames.items())).collect()}
    came, removed, refused, there = (found[name][0] for name in ("in", "duplicates", "rejects", "kept"))
    same = found["kept"] == found["left"] and kept.columns == left.columns
    figures = f"{came:,} in, {there:,} kept, {removed:,} duplicates, {refused:,} rejects"
    figures += "" if same else "; kept holds other rows"
    claim = "every row of the input lies in one of the results, the kept ones as they came"
    return Finding(claim, same and came == there + removed + refused, figures)


def _checksum(name: str, rows: DataFrame) -> DataFrame:
    """One row: name, the number of rows, and two sums of hashes over them, so that their order does not matter."""
    values = [sortable(F.col(quoted(field.name)), field.dataType) for field in rows.schema]
    values += [value.isNull() for value in values]  # a hash passes over nulls
    sums = [F.sum(F.xxhash64(F.lit(salt), *values).cast("decimal(38,0)")) for salt in (1, 2)]
    return rows.agg(F.count("*"), *sums).select(F.lit(name).alias("name"), "*")


def _remove(folder: Path, quiet_s: float = 0.0) -> None:
    """quiet_s: how long it must stay away, since tasks of a cancelled job write for a moment longer."""
    absent_since = began = time.monotonic()
    while (folder.exists() or time.monotonic() < absent_since + quiet_s) and time.monotonic() < began + PATIENCE_SECONDS:
        if folder.exists():
            shutil.rmtree(folder, ignore_errors=True)
            absent_since = time.monotonic()
        time.sleep(0.05)
