"""One code path for all places: local mode, spark-submit on a cluster, Spark Connect. Executors have the dependencies, not the package."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
import pyspark
import pytest

from personahub import archive, pipeline, schemas
from personahub.config import load
from personahub.demo import corpus
from personahub.engines.spark import DELTA_SQL, SHORT_RUN, delta_package
from personahub.llm import mock_server

pytestmark = pytest.mark.spark
JOB = Path(__file__).resolve().parents[1] / "jobs" / "run.py"
DIFFERENT = {
    "run_id",
    "created_at",
    "latency_s",
    "attempts",
    "base_url",
    "seconds",
    "config_fingerprint",
    "utilisation",
}  # of any two runs and roots
SECONDS = 600


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A SPARK_HOME, and a Python that has this environment's packages but not personahub."""
    folder = tmp_path_factory.mktemp("elsewhere")
    home, packages, python = folder / "spark", folder / "packages", folder / "python"
    for path in (home, packages):
        path.mkdir()
    for entry in Path(pyspark.__file__).parent.iterdir():  # links: what Spark writes to its home stays out of the environment
        (home / entry.name).symlink_to(entry)
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "personahub" not in entry.name and entry.suffix != ".pth":
            (packages / entry.name).symlink_to(entry)
    python.write_text(f'#!/bin/sh\nexec env PYTHONPATH="$PYTHONPATH:{packages}" "{sys._base_executable}" -s "$@"\n')
    python.chmod(0o755)
    assert subprocess.run([python, "-c", "import numba, aiohttp, pyspark"], cwd=folder).returncode == 0
    assert subprocess.run([python, "-c", "import personahub"], cwd=folder, stderr=subprocess.DEVNULL).returncode == 1
    changes = {"SPARK_HOME": home, "PYSPARK_PYTHON": python, "PYSPARK_DRIVER_PYTHON": python, "SPARK_LOCAL_IP": "127.0.0.1"}
    return folder, {**os.environ, **{name: str(value) for name, value in changes.items()}}


def submit(home, *arguments, **conf):
    """The command line of spark-submit."""
    conf = {"spark.ui.enabled": "false", "spark.executor.memory": "1g", **SHORT_RUN, **conf}
    settings = [part for key, value in conf.items() for part in ("--conf", f"{key}={value}")]
    return [f"{home}/bin/spark-submit", "--packages", delta_package(), *settings, *arguments]


@contextlib.contextmanager
def connect_server(elsewhere, log):
    folder, environment = elsewhere
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = submit(
        environment["SPARK_HOME"], "--master", "local[8]", "--class", "org.apache.spark.sql.connect.service.SparkConnectServer",
        "spark-internal", **{"spark.connect.grpc.binding.port": port, **DELTA_SQL},
    )  # fmt: skip
    with log.open("wb") as out:
        server = subprocess.Popen(command, env=environment, cwd=folder, stdout=out, stderr=out, start_new_session=True)
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            assert server.poll() is None, log.read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.5)
        yield f"sc://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def told(process):
    assert process.returncode == 0, process.stdout
    return process.stdout


def each(row):
    """A row of lexical_keys holds many personas, by the task that they came to: theirs, one by one."""
    counts, sizes = (np.frombuffer(row[name], np.int32) for name in ("counts", "sizes"))
    keys, tokens = (
        np.split(np.frombuffer(row[name], np.int64), np.cumsum(n)[:-1]) for name, n in (("keys", counts), ("tokens", sizes))
    )
    for persona, *figures in zip(row["persona_ids"], keys, tokens, strict=True):
        yield {"scheme": row["scheme"], "persona_id": persona, "figures": [one.tolist() for one in figures]}


def tables(spark, root):
    """Of each table its rows, without what differs from run to run, as text and sorted. The row of the probe is the run's own."""
    found = {}
    for name in schemas.TABLES:
        if (root / name).exists():
            rows = spark.read.format("delta").load(str(root / name)).toArrow().to_pylist()
            rows = [
                {key: value for key, value in row.items() if key not in DIFFERENT} for row in rows if row.get("stage") != "probe"
            ]
            if name == "lexical_keys":
                rows = [one for row in rows for one in each(row)]
            found[name] = sorted(repr({**row, "counts": sorted(row["counts"])} if "counts" in row else row) for row in rows)
    return found


def test_the_tables_are_the_same_in_all_places(spark, elsewhere, tmp_path):
    folder, environment = elsewhere
    documents = corpus.lay_out(tmp_path / "corpus")
    package = archive.write_zip(tmp_path / "personahub.zip")

    def values(place):
        return [
            f"root={tmp_path / place}", f"documents.path={documents}", f"models.default.base_url={server.base_url}",
            "models.default.api_key_env=null",
        ]  # fmt: skip

    def sets(place):
        return [part for value in values(place) for part in ("--set", value)]

    run = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "timeout": SECONDS, "cwd": folder}
    with mock_server.start(port=0, median=0.02) as server:
        with pipeline.open_hub(load(overrides=values("local")), spend=True) as hub:
            list(pipeline.run(hub, pipeline.STAGES))
        requests = server.stats()["requests"]

        cluster = {"spark.executor.instances": "2", "spark.executor.cores": "4"}
        command = submit(
            environment["SPARK_HOME"], "--master", "local-cluster[2,4,1024]", "--py-files", str(package), str(JOB), *sets("cluster"),
            **cluster,
        )  # fmt: skip
        told(subprocess.run(command, env=environment, **run))
        assert server.stats()["requests"] == 2 * requests

        with connect_server(elsewhere, tmp_path / "server.log") as remote:
            command = [sys.executable, "-m", "personahub", "run", "--yes", *sets("connect")]
            told(subprocess.run(command, env={**os.environ, "SPARK_REMOTE": remote}, **run))
            assert server.stats()["requests"] == 3 * requests
            told(subprocess.run(command, env={**os.environ, "SPARK_REMOTE": remote}, **run))
        assert server.stats()["requests"] == 3 * requests
    local = tables(spark, tmp_path / "local")
    assert len(local["examples"]) > 100
    for place in ("cluster", "connect"):
        found = tables(spark, tmp_path / place)
        if place == "connect":  # ran twice
            found["runs"] = sorted(set(found["runs"]) & set(local["runs"]))
        assert found.keys() == local.keys()
        for name in local:
            assert found[name] == local[name], (place, name)
