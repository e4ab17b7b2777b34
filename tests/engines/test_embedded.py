"""The child process of the embedded engine: it serves one process, and does not outlive it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from personahub import engines
from personahub.config import load
from personahub.engines import embedded
from personahub.errors import ConfigError

HOUSE = Path(__file__).resolve().parents[2]
OPEN = """
import time
from personahub import engines
from personahub.config import load
from personahub.engines import embedded
session = engines.open_session(load())
session.range(3).count()
print(next(iter(embedded._servers.values())).process.pid, flush=True)
"""


def started(more="time.sleep(60)"):
    command = [sys.executable, "-c", OPEN + more]
    environment = {**os.environ, "PERSONAHUB_ENGINE": "embedded"}
    process = subprocess.Popen(command, env=environment, cwd=HOUSE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return process, int(process.stdout.readline())


def is_gone(pid, seconds=5.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):  # the latter between open and read
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_of_it_however_its_user_ends(ending):
    process, server = started()
    process.send_signal(ending)
    process.communicate(timeout=20)
    assert is_gone(server)


def test_it_ends_with_its_user_who_hears_nothing_of_it():
    process, server = started(more="")
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, output, errors) == (0, "", "")
    assert is_gone(server)


def test_work_that_is_under_way_does_not_keep_it():
    process, server = started(
        "session.range(4).mapInArrow(lambda batches: (time.sleep(60) or batch for batch in batches), 'id long').count()"
    )
    time.sleep(1)
    process.kill()
    process.communicate(timeout=20)
    assert is_gone(server)


def test_a_server_that_was_killed_is_told_and_the_next_session_has_another():
    more = """
import os, signal, sys
server = next(iter(embedded._servers.values())).process
os.kill(server.pid, signal.SIGKILL); server.wait()
try:
    session.range(3).count()
    sys.exit("it answered")
except Exception:
    assert "the embedded engine has ended (killed" in engines.why_it_ended(), engines.why_it_ended()
again = engines.open_session(load())
assert again.range(4).count() == 4 and engines.why_it_ended() is None
"""
    process, _ = started(more)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors) == (0, "", "")


def test_a_key_that_is_set_later_reaches_it(monkeypatch, spark):
    if not engines.is_embedded(spark):
        pytest.skip("Spark's workers are started with the environment of their time")
    config = load(overrides=["models.default.api_key_env=A_KEY_OF_LATER"])
    assert embedded.serves(spark, config)
    monkeypatch.setenv("A_KEY_OF_LATER", "secret")
    assert not embedded.serves(spark, config)


def test_an_unknown_engine_is_refused(monkeypatch):
    monkeypatch.setenv("PERSONAHUB_ENGINE", "sprak")
    with pytest.raises(ConfigError, match=r"PERSONAHUB_ENGINE is 'sprak', which is no engine; did you mean spark"):
        engines.open_session(load())


def test_without_the_wheel_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(embedded, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install pysail, or take Spark"):
        embedded.open_session(verbose=False)
