import importlib.metadata

import pytest

from personahub import engines
from personahub.config import load
from personahub.engines import spark as engine
from personahub.errors import ConfigError


@pytest.mark.parametrize(
    ("spark_version", "delta_version", "package"),
    [
        ("4.2.0", "4.4.0", "io.delta:delta-spark_4.2_2.13:4.4.0"),
        ("4.1.4", "4.4.0", "io.delta:delta-spark_4.1_2.13:4.4.0"),
        ("4.0.2", "4.0.1", "io.delta:delta-spark_2.13:4.0.1"),  # before 4.1 the name carries no Spark version
    ],
)
def test_the_jars_fit_the_spark_that_is_installed(monkeypatch, spark_version, delta_version, package):
    monkeypatch.setattr(importlib.metadata, "version", {"pyspark": spark_version, "delta-spark": delta_version}.__getitem__)
    assert engine.delta_package() == package


def test_without_delta_it_says_what_to_install(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(ConfigError, match=r"personahub\[spark\]"):
        engine.delta_package()


def test_a_job_gets_a_virtual_machine_by_what_it_reads():
    options = [engine._for(engine.Job(reads), load())["spark.driver.extraJavaOptions"] for reads in (1, 64 << 20, 1 << 30, None)]
    light = engine.LIGHT_JVM["spark.driver.extraJavaOptions"]
    assert options == [light, f"{light} -Xms2g", "", ""]


def test_without_java_it_says_so_in_one_line(monkeypatch):
    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(
        ConfigError, match=r"^local-mode Spark lacks its packages \(.*personahub\[spark\]'\) and Java 17 or 21, .*needs neither"
    ):
        engine.local(load(), verbose=False, job=None)


def test_a_local_spark_is_not_mixed_up_with_a_remote_one(monkeypatch):
    monkeypatch.setenv("SPARK_REMOTE", "sc://somewhere")
    with pytest.raises(ConfigError, match="SPARK_REMOTE is set"):
        engine.local(load(), verbose=False, job=None)


@pytest.mark.parametrize(
    ("remote", "says"),
    [
        ("sc://127.0.0.1:1/;token=secret", "no Spark Connect server answers at 127.0.0.1:1 "),
        ("spark://host", "sc://HOST:15002"),
        ("sc://host:port", "sc://HOST:15002"),
    ],
)
def test_a_server_that_does_not_answer_is_named_at_once(monkeypatch, remote, says):
    monkeypatch.setenv("SPARK_REMOTE", remote)
    with pytest.raises(ConfigError, match=says) as error:
        engine.connected(load())
    assert "secret" not in str(error.value)


def test_a_local_master_has_room_for_every_paid_task_and_for_delta(monkeypatch):
    monkeypatch.setattr(engine.os, "cpu_count", lambda: 4)
    assert engine._local_master(load()) == "local[14,3]"
    assert (
        engine._local_master(load(overrides=["inference.tasks_per_window=5", "inference.concurrent_windows=2"])) == "local[17,3]"
    )
    monkeypatch.setattr(engine.os, "cpu_count", lambda: 64)
    assert engine._local_master(load()) == "local[64,3]"


@pytest.mark.engines
def test_an_active_session_is_taken_as_it_is(spark):
    assert engines.open_session(load(overrides=["spark.conf={spark.app.name: other}"])) is spark
    assert spark.conf.get("spark.sql.session.timeZone") == "UTC"
    assert engines.tasks_per_window(spark, load(overrides=["inference.tasks_per_window=7"])) == 7


@pytest.mark.spark
def test_rows_reach_a_worker_in_batches_of_few_bytes(spark):
    def bytes_of(batches):
        for batch in batches:
            yield batch.from_pydict({"bytes": [batch.nbytes]})

    rows = spark.range(0, 6_000, 1, 1).selectExpr("repeat('x', 1024) AS text")
    told = [row.bytes for row in rows.mapInArrow(bytes_of, "bytes long").collect()]
    assert sum(told) > 2 * engine.BATCH_BYTES
    assert max(told) < 1.25 * engine.BATCH_BYTES
