"""Kill -9 of one of two executors while they buy: the run goes on, answers all, and buys again what was in flight at most."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from personahub import mockserver
from personahub.engines import archive

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))
import killing
import places

CALLS, PLACES = 200, 8
JOB = Path(__file__).parents[2] / "jobs" / "run.py"
CONF = {
    "spark.executor.instances": "2",
    "spark.executor.cores": "4",
    "spark.task.maxFailures": "20",  # a kill is a failure of every task that it hits
    "spark.excludeOnFailure.enabled": "false",
}


def executors_that_buy(run):
    """By process: PySpark's daemon and its workers. One that has just been started has none."""
    found = {}
    for pid in killing.descendants(run.pid):
        command = Path(f"/proc/{pid}/cmdline")
        if command.exists() and b"CoarseGrainedExecutorBackend" in command.read_bytes():
            found[pid] = killing.descendants(pid)
    return {pid: started for pid, started in found.items() if len(started) > 1}


def personahub(*arguments):
    environment = {**os.environ, "PERSONAHUB_ENGINE": "embedded"}
    subprocess.run([sys.executable, "-m", "personahub", *arguments], check=True, stdin=subprocess.DEVNULL, env=environment)


@pytest.mark.slow
@pytest.mark.spark
def test_a_lost_executor_costs_at_most_what_was_in_flight(tmp_path):
    people, log = tmp_path / "people.jsonl", tmp_path / "log"
    people.write_text("".join(json.dumps({"persona": f"A keeper of lighthouse {n} who paints"}) + "\n" for n in range(CALLS)))
    with mockserver.start(port=0, capacity=PLACES, median=0.3) as server:
        values = {
            "root": tmp_path / "hub",
            "models.default.base_url": server.base_url,
            "models.default.api_key_env": "null",
            "models.default.max_concurrent_requests": PLACES,
            "models.default.response_format": "json_schema",
            "inference.requests_per_commit": 25,
            "inference.journal": "on",
        }
        sets = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
        personahub("import", "personas", people, *sets)
        environment = places.elsewhere(tmp_path)
        package = archive.write_zip(tmp_path / "personahub.zip")
        cluster = ["--master", "local-cluster[2,4,1024]", "--py-files", package, JOB, "synthesize", *sets]
        command = [str(part) for part in places.submit(environment, *cluster, **CONF)]
        with log.open("wb") as out:
            run = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=out, stderr=out)
        try:
            found = {}
            while not (found and server.stats()["requests"] > CALLS // 4):
                assert run.poll() is None, log.read_text()[-3000:]
                time.sleep(0.1)
                found = executors_that_buy(run)
            executor, (daemon, *_) = next(iter(found.items()))
            killing.kill([daemon, executor])  # then nothing ends the workers, which call on
            at_the_kill = server.stats()["requests"]
            assert run.wait(timeout=places.SECONDS) == 0, log.read_text()[-3000:]
        finally:
            killing.kill([*killing.descendants(run.pid), run.pid])
        assert at_the_kill < CALLS
        requests = server.stats()["requests"]
        assert requests - CALLS <= PLACES
        final = [row["completion_id"] for row in places.rows_of(tmp_path / "hub" / "completions") if row["final"]]
        assert Counter(Counter(final).values()) == {1: CALLS}
        personahub("run", "synthesize", "--yes", *sets)
        assert server.stats()["requests"] == requests
