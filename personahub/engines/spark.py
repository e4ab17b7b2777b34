"""Sessions on Spark: local mode with Delta, spark-submit, Spark Connect."""

import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from pyspark.sql import SparkSession

from personahub.config import Config
from personahub.engines import archive
from personahub.errors import ConfigError, PersonahubError

DRIVER_MEMORY = "2g"
DAEMON = "personahub.spark_daemon"
# where there are no executors
ONE_PROCESS = {
    "spark.python.daemon.module": DAEMON,  # executors may have to be sent the package
    # a sum over each row that is shuffled, for stages that run again when an executor is lost
    "spark.sql.shuffle.orderIndependentChecksum.enabled": "false",
    # what is sent to tasks is hashes, which do not compress, and goes no further than this process
    "spark.broadcast.compress": "false",
}
CONNECT_SECONDS = 10
# that Spark hands to a worker at once: both fill and read it while it is in the processor's cache. Spark's own measure, 10,000 rows, is
# 15 MB of vectors, or all the bundles of a task
BATCH_BYTES = 2 << 20
# what a local session starts with: the JVM plans and commits, and what computes is Python, so that the second compiler and G1's threads
# take more CPU than they save. Without that compiler the code cache is small: Spark writes code anew for each query, and a session of many
# stages would fill it. Most of what Spark allocates is soon garbage: half of the heap for what is young
LIGHT_JVM = {
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC -XX:NewRatio=1 "
    "-XX:MetaspaceSize=256m"
}
# for a short run on small data (the demo, the tests): a JVM that compiles less is ready sooner, and a task costs more than its rows
SHORT_RUN = {
    **LIGHT_JVM,
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.default.parallelism": "2",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.files.minPartitionNum": "1",
    "spark.databricks.delta.snapshotPartitions": "1",
}
SMALL_BYTES = 32 << 20  # of an input: up to here it is a short run
LARGE_BYTES = 512 << 20  # from here on it takes so long that the JVM's second compiler pays
DELTA_SQL = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
# what the paid step relies on; runtime settings, so they hold in a session that we did not build, too: while a hub is open
RUNTIME = {
    "spark.sql.session.timeZone": "UTC",
    "spark.databricks.delta.optimizeWrite.enabled": "false",
    "spark.databricks.delta.autoCompact.enabled": "false",
}


@dataclass(frozen=True)
class Job:
    """Work that asks no endpoint. reads: bytes of its input; None: not known, perhaps very many."""

    reads: int | None


def submitted(config: Config) -> SparkSession:
    """The session of spark-submit, which has started the JVM and knows the master and the packages."""
    builder = SparkSession.builder.appName("personahub")
    for key, value in {**DELTA_SQL, **config.spark.conf}.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def most_windows(config: Config) -> int:
    """Windows that may be open at once: half as many again as are worked on, for those that only wait for their last slow answers."""
    return config.inference.concurrent_windows + (config.inference.concurrent_windows + 1) // 2


def tasks_per_window(spark: SparkSession, config: Config) -> int:
    """As many as fill the slots but two."""
    if in_one_process(str(spark.conf.get("spark.master", "local"))):
        return _local_tasks(config)
    cores = int(str(spark.conf.get("spark.executor.cores", "1"))) * int(str(spark.conf.get("spark.executor.instances", "2")))
    return max(1, (cores - 2) // most_windows(config))


def in_one_process(master: str) -> bool:
    return re.fullmatch(r"local(\[.*\])?", master) is not None


def _local_tasks(config: Config) -> int:
    tasks = config.inference.tasks_per_window
    # one worker process makes about a thousand calls a second: more than a few only take memory
    return min(4, max(1, (os.cpu_count() or 1) // 2)) if tasks == "auto" else tasks


def _local_master(config: Config) -> str:
    """Calls wait, they do not compute: there may be more slots than cores. A task that dies is tried again: it reads its journal."""
    slots = max(os.cpu_count() or 1, most_windows(config) * _local_tasks(config) + 2)
    return f"local[{slots},3]"


def delta_package() -> str:
    """The Maven coordinate that fits the installed pyspark and delta-spark: from Delta 4.1 on it carries the Spark minor."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        delta, spark = version("delta-spark"), version("pyspark")
    except PackageNotFoundError as error:
        raise ConfigError(f"{error.name} is not installed: pip install 'personahub[spark]'") from None
    minor = ".".join(spark.split(".")[:2])
    return f"io.delta:delta-spark_2.13:{delta}" if delta.startswith("4.0.") else f"io.delta:delta-spark_{minor}_2.13:{delta}"


def local(config: Config, verbose: bool, job: Job | None) -> SparkSession:
    """Local-mode Spark, or the cluster that spark.master names. Raises ConfigError where a package is missing or SPARK_REMOTE is set,
    PersonahubError where the JVM does not start.
    """
    if os.environ.get("SPARK_REMOTE"):
        raise ConfigError("spark.engine: spark is a Spark of this process, yet SPARK_REMOTE is set: leave one of them out")
    missing = [] if find_spec("delta") else ["its packages (pip install 'personahub[spark]')"]
    if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        missing.append("Java 17 or 21, on the PATH or in JAVA_HOME")
    if missing:
        raise ConfigError(
            f"local-mode Spark lacks {' and '.join(missing)}. The embedded engine needs neither (PERSONAHUB_ENGINE=embedded)"
        )
    package = delta_package()
    master = config.spark.master or (_local_master(config) if job is None else "local[*]")
    if master.startswith("local"):
        # workers are of this Python, whatever a profile names
        os.environ.update(PYSPARK_PYTHON=sys.executable, PYSPARK_DRIVER_PYTHON=sys.executable)
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    settings = {
        **DELTA_SQL,
        "spark.jars.packages": package,
        "spark.driver.memory": DRIVER_MEMORY,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # slots are for calls that wait; what computes is cut for the cores
        "spark.default.parallelism": str(os.cpu_count() or 1),
        "spark.sql.shuffle.partitions": str(os.cpu_count() or 1),
        "spark.databricks.delta.snapshotPartitions": "2",  # the default 50 makes each first read of a table take seconds
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.execution.arrow.maxBytesPerBatch": str(BATCH_BYTES),
        "spark.sql.parquet.columnarReaderBatchSize": "64",  # for the same reason: a stored row of dedup has 64 KB
        "spark.executorEnv.PYTHONSAFEPATH": "1",  # workers import nothing from the working folder
        "spark.speculation": "false",  # a second copy of a paid task would buy beside the first
        **(ONE_PROCESS if in_one_process(master) else {}),
        **(LIGHT_JVM if job is None else _for(job, config)),
        **config.spark.conf,
    }
    builder = SparkSession.builder.appName("personahub").master(master)
    for key, value in settings.items():
        builder = builder.config(key, value)
    log = Path(tempfile.gettempdir()) / f"personahub-spark-{os.getpid()}.log"
    try:
        with _descriptors_to(None if verbose else log):
            return builder.getOrCreate()
    except Exception as error:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log.exists() else ""
        raise PersonahubError(
            f"Spark did not start: {error}\n{tail}\n(the whole log: {log}; Java 17 or 21 must be on the PATH or in JAVA_HOME, and "
            f"the first start fetches {package} and what it needs)"
        ) from error


def _for(job: Job, config: Config) -> dict[str, str]:
    """Little compiling where there is little to read. The heap has its full size from the start: it would be collected at each size on
    the way.
    """
    if job.reads is None or job.reads >= LARGE_BYTES:
        return {"spark.driver.extraJavaOptions": ""}  # both compilers
    if job.reads < SMALL_BYTES:
        return SHORT_RUN
    heap = config.spark.conf.get("spark.driver.memory", DRIVER_MEMORY)
    return {"spark.driver.extraJavaOptions": f"{LIGHT_JVM['spark.driver.extraJavaOptions']} -Xms{heap}"}


def connected(config: Config) -> SparkSession:
    """A session of Spark Connect. Its server brings Delta and the Python packages. Raises ConfigError where none answers."""
    if not (remote := os.environ["SPARK_REMOTE"]).startswith("local"):
        _check_server(remote)
    spark = SparkSession.builder.getOrCreate()
    for key, value in config.spark.conf.items():
        spark.conf.set(key, value)
    return spark


def _check_server(remote: str) -> None:
    """Connect's client would try for ten minutes, and say nothing. What follows the port may be a secret."""
    try:
        parts = urlsplit(remote.partition(";")[0])
        host, port = parts.hostname, parts.port or 15002
    except ValueError:
        host = None
    if not host or parts.scheme != "sc":
        raise ConfigError(
            "SPARK_REMOTE is no address of a Spark Connect server: it looks like sc://HOST:15002. Mend it or unset it"
        )
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise ConfigError(
            f"no Spark Connect server answers at {host}:{port} ({error}): start it, or unset SPARK_REMOTE"
        ) from None


def send_package(session: SparkSession) -> None:
    """To a server of Spark Connect, whose executors may not have it."""
    with tempfile.TemporaryDirectory() as folder:
        session.addArtifacts(str(archive.write_zip(Path(folder) / "personahub.zip")), pyfile=True)


@contextmanager
def _descriptors_to(path: Path | None) -> Iterator[None]:
    """The JVM inherits our stdout and stderr for its whole life; give it a file instead."""
    if path is None:
        yield
        return
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with path.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in enumerate(saved, start=1):
            os.dup2(copy, number)
            os.close(copy)


@contextmanager
def with_settings(spark: SparkSession, wanted: Mapping[str, str]) -> Iterator[None]:
    """Settings of a session that hold within; at the end, however it comes, each that was changed is as it was."""
    before = {key: spark.conf.get(key, None) for key in wanted}
    changed = [key for key, value in before.items() if value != wanted[key]]
    for key in changed:
        spark.conf.set(key, wanted[key])
    try:
        yield
    finally:
        for key in changed:
            value = before[key]
            if value is None:
                spark.conf.unset(key)
            else:
                spark.conf.set(key, value)
