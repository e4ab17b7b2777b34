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

from personahub.llm import mock_server

pytestmark = pytest.mark.slow  # each starts a JVM

KEY = "sk-test-9f8e7d6c5b4a39281706"


def arguments(root, server, *overrides):
    values = [f"root={root}", f"models.default.base_url={server.base_url}", *overrides]
    return [part for value in values for part in ("--set", value)]


def personahub(*words, env=None, **kwargs):
    command = [sys.executable, "-m", "personahub", *map(str, words)]
    return subprocess.Popen(
        command, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, **kwargs,
    )  # fmt: skip


def finished(*words, env=None):
    run = personahub(*words, env=env)
    output, _ = run.communicate(timeout=300)
    return run.returncode, output


@pytest.fixture
def people(tmp_path):
    path = tmp_path / "personas.jsonl"
    path.write_text(
        "".join(json.dumps({"persona": f"A lighthouse keeper on island {n} who paints ships"}) + "\n" for n in range(120))
    )
    return path


def test_ctrl_c_commits_what_is_in_flight_and_the_next_run_goes_on(tmp_path, people):
    root = tmp_path / "hub"
    with mock_server.start(port=0, capacity=8, median=0.6, sigma=0.2) as server:
        more = arguments(root, server, "models.default.max_concurrent_requests=8", "models.default.response_format=json_schema")
        assert finished("import", "personas", people, *more)[0] == 0
        run = personahub("run", "synthesize", "--yes", *more, start_new_session=True)
        while server.stats()["requests"] < 20:
            assert run.poll() is None
            time.sleep(0.05)
        second = finished("run", "synthesize", "--yes", *more)
        assert second[0] == 6
        assert "in use by run" in second[1]
        os.kill(run.pid, signal.SIGINT)
        output, _ = run.communicate(timeout=120)
        assert run.returncode == 130, output
        assert "run again to go on" in output
        bought = server.stats()["requests"]
        assert 20 <= bought < 120
        assert server.stats()["sold"] == bought  # nothing in flight was given up
        assert finished("run", "synthesize", "--yes", *more)[0] == 0
        assert server.stats()["requests"] == 120


def test_the_key_is_nowhere(tmp_path, people):
    root, events, scratch = tmp_path / "hub", tmp_path / "events", tmp_path / "tmp"
    events.mkdir()
    scratch.mkdir()
    env = {"LLM_KEY": KEY, "TMPDIR": str(scratch)}
    spark = json.dumps({"spark.eventLog.enabled": "true", "spark.eventLog.dir": events.as_uri(), "spark.ui.enabled": "false"})
    with mock_server.start(port=0, median=0.2, capacity=16, key=KEY) as server:
        more = arguments(root, server, "models.default.api_key_env=LLM_KEY", f"spark.conf={spark}")
        assert finished("import", "personas", people, *more, env=env)[0] == 0
        run = personahub("run", "synthesize", "--yes", "--verbose", *more, env=env)
        seen = set()
        while server.stats()["requests"] < 100:
            assert run.poll() is None
            seen |= {command for command in _command_lines() if KEY in command}
            time.sleep(0.1)
        output, _ = run.communicate(timeout=120)
        assert run.returncode == 0, output
        wrong = finished(
            "run", "synthesize", "--yes", *more, "--set", "models.default.model=other", env={**env, "LLM_KEY": KEY[:-1] + "x"}
        )
    assert wrong[0] == 5
    assert not seen
    assert KEY not in output
    assert KEY[:-1] not in wrong[1]
    files = [path for folder in (root, events, scratch) for path in folder.rglob("*") if path.is_file()]
    assert any(path.is_relative_to(events) for path in files)
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


@pytest.mark.parametrize("journal", ["auto", "off"])
def test_killed_again_and_again_every_request_is_answered_once(journal):
    """Three kills; `benchmarks/kills.py` makes twenty."""
    script = Path(__file__).resolve().parents[1] / "benchmarks" / "kills.py"
    more = ["--kills", "3", "--calls", "500", "--places", "16", "--commit-every", "60", "--journal", journal]
    trial = subprocess.run([sys.executable, str(script), *more], capture_output=True, text=True, timeout=900)
    assert trial.returncode == 0, trial.stdout + trial.stderr
    assert "one more run: 0 requests" in trial.stdout
