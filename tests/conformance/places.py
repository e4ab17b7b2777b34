"""The four places that the pipeline runs in, and what its tables hold, whoever wrote them."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable
from pyarrow import parquet

from personahub import schemas
from personahub.engines.spark import DELTA_SQL, SHORT_RUN, delta_package

JOURNEY = Path(__file__).with_name("journey.py")
SECONDS = 900
# of any two runs and roots
DIFFERENT = {"run_id", "created_at", "latency_s", "attempts", "base_url", "seconds", "config_fingerprint"}
DIFFERENT |= {"utilisation", "utilisation_by_model"}
PACKAGE = Path(__file__).resolve().parents[2]


def told(command, environment, folder):
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.run([str(part) for part in command], env=environment, cwd=folder, timeout=SECONDS, **output)
    assert process.returncode == 0, process.stdout[-6000:]
    return process.stdout


def on_engine(engine, values, folder):
    """The journey, or some of its stages, in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "SPARK_REMOTE"}
    return told([sys.executable, JOURNEY, *values], {**environment, "PERSONAHUB_ENGINE": engine}, folder)


def elsewhere(folder):
    """The environment of a SPARK_HOME and a Python that has this one's packages but not personahub."""
    import pyspark

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
    environment = {name: value for name, value in os.environ.items() if name != "PERSONAHUB_ENGINE"}
    return {**environment, **{name: str(value) for name, value in changes.items()}}


def submit(environment, *arguments, **conf):
    """The command line of spark-submit."""
    conf = {"spark.ui.enabled": "false", "spark.executor.memory": "1g", **SHORT_RUN, **conf}
    settings = [part for key, value in conf.items() for part in ("--conf", f"{key}={value}")]
    return [f"{environment['SPARK_HOME']}/bin/spark-submit", "--packages", delta_package(), *settings, *arguments]


@contextlib.contextmanager
def connect_server(environment, folder, log):
    """The address of a Spark Connect server that has Delta, and not the package."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = submit(
        environment, "--master", "local[8]", "--class", "org.apache.spark.sql.connect.service.SparkConnectServer",
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


def tables(root):
    """Of each table its rows, without what differs from run to run, as text and sorted. The row of the probe is the run's own."""
    found = {}
    for name in schemas.TABLES:
        if (root / name / "_delta_log").exists():
            rows = list(rows_of(root / name))
            rows = [row for row in rows if row.get("stage") != "probe"]
            if name == "embeddings":  # which texts share a request, and so its tokens, hangs on the order in which they are read
                rows = [{**row, "prompt_tokens": None, "cost_usd": None} for row in rows] + [
                    {"all": sum(row["prompt_tokens"] for row in rows)}
                ]
            rows = [one for row in rows for one in EXPANDED.get(name, lambda row: [row])(row)]
            found[name] = sorted(repr({key: _plain(row[key]) for key in sorted(row.keys() - DIFFERENT)}) for row in rows)
    return found


def rows_of(table):
    """Each file by pyarrow itself: deltalake's own reader may abort the process when that ends. Of partitions only the log must tell."""
    for file in pa.table(DeltaTable(table).get_add_actions(flatten=True)).to_pylist():
        partitions = {key.removeprefix("partition."): value for key, value in file.items() if key.startswith("partition.")}
        for row in parquet.read_table(table / unquote(file["path"]), partitioning=None).to_pylist():
            yield {**row, **partitions}


def _plain(value):
    if isinstance(value, list) and value and isinstance(value[0], tuple):  # a map
        return sorted(value)
    return value


def _keys(row):
    """A row of lexical_index holds many personas, by the task that they came to: theirs, one by one."""
    counts, sizes = (np.frombuffer(row[name], np.int32) for name in ("counts", "sizes"))
    keys, tokens = (
        np.split(np.frombuffer(row[name], np.int64), np.cumsum(n)[:-1]) for name, n in (("keys", counts), ("tokens", sizes))
    )
    for persona, *figures in zip(row["persona_ids"], keys, tokens, strict=True):
        yield {"scheme": row["scheme"], "persona_id": persona, "figures": [one.tolist() for one in figures]}


def _vectors(row):
    """The same of vector_index."""
    vectors = np.frombuffer(row["vectors"], np.float32).reshape(len(row["ids"]), -1)
    for name, vector in zip(row["ids"], vectors, strict=True):
        yield {"clusters": row["clusters"], "cluster": row["cluster"], "id": name, "vector": vector.tobytes()}


EXPANDED = {"lexical_index": _keys, "vector_index": _vectors}
