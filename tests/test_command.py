"""The command as its user runs it: another process, its exit codes, signals, and the key that must be nowhere."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from personahub import mockserver, pipeline
from personahub.config import load
from personahub.engines.spark import SHORT_RUN

pytestmark = [pytest.mark.slow, pytest.mark.engines]

KEY = "sk-test-9f8e7d6c5b4a39281706"


def values(root, server, *overrides, **conf):
    spark = json.dumps({**SHORT_RUN, **conf})
    return [f"root={root}", f"models.default.base_url={server.base_url}", f"spark.conf={spark}", *overrides]


def run(settings, *flags, env=None):
    """`personahub run synthesize` in a process of its own, with a JVM of its own."""
    sets = [part for value in settings for part in ("--set", value)]
    return subprocess.Popen(
        [sys.executable, "-m", "personahub", "run", "synthesize", "--yes", *flags, *sets],
        env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip


@pytest.fixture
def root(spark, tmp_path):
    """A hub of 120 personas."""
    path = tmp_path / "personas.jsonl"
    path.write_text(
        "".join(json.dumps({"persona": f"A lighthouse keeper on island {n} who paints ships"}) + "\n" for n in range(120))
    )
    with pipeline.open_hub(load(overrides=[f"root={tmp_path / 'hub'}"]), spend=True) as hub:
        pipeline.import_personas(hub, pipeline.personas_file(str(path)))
    return tmp_path / "hub"


def test_ctrl_c_commits_what_is_in_flight_and_the_next_run_goes_on(root):
    with mockserver.start(port=0, capacity=8, median=0.6, sigma=0.2) as server:
        settings = values(
            root, server, "models.default.max_concurrent_requests=8", "models.default.response_format=json_schema",
            "models.default.api_key_env=null",
        )  # fmt: skip
        first = run(settings)
        while server.stats()["requests"] < 20:
            assert first.poll() is None
            time.sleep(0.05)
        second = run(settings)
        output, _ = second.communicate(timeout=120)
        assert second.returncode == 6
        assert "in use by run" in output
        os.kill(first.pid, signal.SIGINT)
        output, _ = first.communicate(timeout=120)
        assert first.returncode == 130, output
        assert "run again to go on" in output
        bought = server.stats()["requests"]
        assert 20 <= bought < 120
        assert server.stats()["sold"] == bought  # nothing in flight was given up
        config = load(overrides=settings)
        with pipeline.open_hub(config, spend=True) as hub:
            [result] = pipeline.run(hub, ["synthesize"])
        assert result.counts["calls"] == 120 - bought
        assert server.stats()["requests"] == 120


def test_the_key_is_nowhere(root, tmp_path):
    events, scratch = tmp_path / "events", tmp_path / "tmp"
    events.mkdir()
    scratch.mkdir()
    on_spark = os.environ.get("PERSONAHUB_ENGINE") == "spark"  # which keeps a log of all its settings and plans
    logged = {"spark.eventLog.enabled": "true", "spark.eventLog.dir": events.as_uri(), "spark.ui.enabled": "false"}
    with mockserver.start(port=0, median=0.2, capacity=16, key=KEY) as server:
        settings = values(root, server, "models.default.api_key_env=LLM_KEY", **logged)
        bought = run(settings, "--verbose", env={"LLM_KEY": KEY, "TMPDIR": str(scratch)})
        seen = set()
        while server.stats()["requests"] < 100:
            assert bought.poll() is None
            seen |= {command for command in _command_lines() if KEY in command}
            time.sleep(0.1)
        output, _ = bought.communicate(timeout=120)
    assert bought.returncode == 0, output
    assert not seen
    assert KEY not in output
    files = [path for folder in (root, events, scratch) for path in folder.rglob("*") if path.is_file()]
    assert any(path.is_relative_to(events) for path in files) == on_spark
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path
        if path.suffix == ".parquet":
            assert KEY not in str(pq.ParquetFile(path).read().to_pylist()), path


def _command_lines():
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes().decode(errors="replace")
        except OSError:
            continue


@pytest.mark.parametrize(("journal", "kills"), [("auto", 3), ("off", 1)])
def test_killed_again_and_again_every_request_is_answered_once(journal, kills):
    """`benchmarks/kills.py`, which makes twenty. Every third comes at any moment, the others while it buys."""
    script = Path(__file__).resolve().parents[1] / "benchmarks" / "kills.py"
    more = ["--calls", "300", "--places", "16", "--requests-per-commit", "40", "--journal", journal, "--kills", str(kills)]
    light = {"JAVA_TOOL_OPTIONS": SHORT_RUN["spark.driver.extraJavaOptions"]}
    trial = subprocess.run(
        [sys.executable, str(script), *more], env={**os.environ, **light}, capture_output=True, text=True, timeout=900
    )
    assert trial.returncode == 0, trial.stdout + trial.stderr
    assert "one more run: 0 requests" in trial.stdout
