"""The only room that knows engines: which one runs, how a session on it is opened, and what holds there.

One code path, the DataFrame API of PySpark: over the embedded engine (no Java), local-mode Spark, spark-submit, Spark Connect.
"""

import functools
import os
import sys
import warnings
from importlib.machinery import ModuleSpec

from pyspark.sql import SparkSession

from personahub.config import Config
from personahub.engines import embedded, spark
from personahub.engines.embedded import why_it_ended
from personahub.engines.interrupts import interruptible
from personahub.engines.spark import RUNTIME, Job, most_windows, with_settings
from personahub.errors import ConfigError
from personahub.text import nearest

__all__ = [
    "ENGINES",
    "RUNTIME",
    "Job",
    "interruptible",
    "is_embedded",
    "is_local",
    "is_on_this_machine",
    "most_windows",
    "open_session",
    "tasks_per_window",
    "why_it_ended",
    "with_settings",
]

VARIABLE = "PERSONAHUB_ENGINE"
ENGINES = ("auto", "embedded", "spark")


def open_session(config: Config, *, verbose: bool = False, job: Job | None = None) -> SparkSession:
    """A session on the engine that `spark.engine`, or the environment's PERSONAHUB_ENGINE, names.

    auto: the active session where there is one (a notebook), else Connect if SPARK_REMOTE is set, else spark-submit's, else local-mode
    Spark where spark.master is set or the embedded engine is not installed, else the embedded engine. The engine's log is kept from the
    terminal, unless `verbose`. job: what it is for, if it asks no endpoint and ends with the session. A session that is opened here has
    the settings RUNTIME; one that was active keeps its own, and whoever relies on RUNTIME sets it `with_settings`. Raises ConfigError where
    something is missing, PersonahubError with the log's end where it does not start.
    """
    _name_main_module()
    warnings.filterwarnings("ignore", "WARN WindowExpression")  # of Connect's client; where we mean all rows, they are few
    engine, active = _wanted(config), SparkSession.getActiveSession()
    if (
        active is not None
        and (engine == "auto" or (engine == "embedded") == is_embedded(active))
        and embedded.serves(active, config)
    ):
        return active
    if engine == "auto" and os.environ.get("SPARK_REMOTE"):
        session = spark.connected(config)
        if not is_embedded(session):  # Sail's process imports what is installed beside it
            spark.send_package(session)
    elif engine != "embedded" and "PYSPARK_GATEWAY_PORT" in os.environ:
        session = spark.submitted(config)
    elif engine == "embedded" or (engine == "auto" and config.spark.master is None and embedded.is_installed()):
        session = embedded.open_session(verbose)
    else:
        session = spark.local(config, verbose, job)
    for key, value in RUNTIME.items():
        session.conf.set(key, value)
    return session


def _name_main_module() -> None:
    """Connect's client takes a process whose main module has neither file nor spec (python -c, a worker of xdist) for a run of its own
    doctests, and without Spark's jars ends it.
    """
    main = sys.modules["__main__"]
    if main.__spec__ is None and not hasattr(main, "__file__"):
        main.__spec__ = ModuleSpec("__main__", None)


def _wanted(config: Config) -> str:
    engine = os.environ.get(VARIABLE) or config.spark.engine
    if engine not in ENGINES:
        raise ConfigError(f"{VARIABLE} is {engine!r}, which is no engine{nearest(engine, ENGINES)}")
    return engine


@functools.cache
def is_embedded(session: SparkSession) -> bool:
    """Is it Sail that answers, our own server or another? Its versions are its own; Spark's begin at 4."""
    if type(session).__module__ != "pyspark.sql.connect.session":
        return False
    if embedded.is_ours(session):
        return True
    return session.sql("SELECT version()").collect()[0][0].startswith("0.")


def is_local(session: SparkSession) -> bool:
    """Do tasks run in processes of this machine that see what this one sees? local-cluster[...] has executors, as a cluster has."""
    return is_embedded(session) or spark.in_one_process(_master(session))


def is_on_this_machine(session: SparkSession) -> bool:
    """Do they run on this machine, whether as executors or not?"""
    return is_embedded(session) or _master(session).startswith("local")


def _master(session: SparkSession) -> str:
    return session.conf.get("spark.master", "") or ""


def tasks_per_window(session: SparkSession, config: Config) -> int:
    """`inference.tasks_per_window`; auto fills the slots but two, which Delta's own jobs need.

    On the embedded engine one: its tasks are threads of one process, and one of them keeps as many calls in flight as the endpoint takes.
    """
    if config.inference.tasks_per_window != "auto":
        return config.inference.tasks_per_window
    return 1 if is_embedded(session) else spark.tasks_per_window(session, config)
