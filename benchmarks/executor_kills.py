"""Kill -9 of one of two executors at random moments of one run, which must go on, buy little twice, and answer all.

    python benchmarks/executor_kills.py [--kills 10] [--calls 3000] [--places 32] [--requests-per-commit 250] [--seed 1] [--dies executor]

The run is `jobs/run.py synthesize` by spark-submit on local-cluster, the journal under the root that all share. What `--dies`:
executor: its JVM, as by the OOM killer. PySpark's daemon then reads the end of its stdin and ends the Python workers by SIGHUP;
how long they outlived it is printed. all: the JVM, the daemon and the workers. orphans: the JVM and the daemon, so that nobody tells
the workers, which call on until the governor hears of the new attempt, or until they notice that nobody reads their answers.

Judge: the simulated server's own counter of requests, and the files of `completions`. Exits 1 if a bound is broken: bought again, at
most the sum over the kills of what was in flight just before, which is what had been sent to the server and was on no disk yet, of
both executors, and no more than the places; exactly one final row a request; one more run buys nothing. The server can not tell the
executors apart, but it counts the answers whose client was gone: the share of the dead one, less what it had just been sent.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyspark
from common import (
    command_line_of,
    descendants,
    exit_with,
    final_rows,
    has_spark,
    judge,
    kill_all,
    machine,
    personahub,
    settings,
    write_personas,
)

from personahub import mockserver
from personahub.engines import archive, spark
from personahub.llm import journal

JOB = Path(__file__).resolve().parents[1] / "jobs" / "run.py"
CONF = {
    **spark.SHORT_RUN,
    "spark.ui.enabled": "false",
    "spark.executor.memory": "1g",
    "spark.executor.extraJavaOptions": spark.LIGHT_JVM["spark.driver.extraJavaOptions"],  # another one is sooner ready
    "spark.executor.instances": "2",
    "spark.executor.cores": "4",
    "spark.task.maxFailures": "20",  # each kill is a failure of every task that it hits
    "spark.deploy.maxExecutorRetries": "20",  # standalone gives an application up after 10 lost executors
    "spark.excludeOnFailure.enabled": "false",
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--places", type=int, default=32)
    parser.add_argument("--requests-per-commit", type=int, default=250)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dies", choices=("executor", "all", "orphans"), default="executor")
    given = parser.parse_args()
    if not has_spark():
        sys.exit("executor_kills.py kills executors, which the embedded engine has not: pip install 'personahub[spark]'")
    os.environ["PERSONAHUB_ENGINE"] = "spark"
    print(f"{given.kills} kills ({given.dies}), {given.calls} calls, {given.places} places, seed {given.seed}; {machine()}")
    with (
        tempfile.TemporaryDirectory() as folder,
        mockserver.start(port=0, capacity=given.places, median=0.3, seed=given.seed) as server,
    ):
        broken = _trial(given, Path(folder), server)
    exit_with(broken)


def _trial(given: argparse.Namespace, folder: Path, server: mockserver.Running) -> list[str]:
    draw, root, log = random.Random(given.seed), folder / "hub", folder / "log"
    arguments = settings(
        root,
        server,
        given.places,
        **{
            "inference.requests_per_commit": given.requests_per_commit,
            "inference.journal": "on",  # refuses to start where the root is not shared
        },
    )
    personahub("import", "personas", write_personas(folder / "personas.jsonl", given.calls, given.seed), *arguments)
    moments = sorted(draw.sample(range(given.calls), given.kills))  # in requests made
    before: list[dict[str, Any]] = []  # the server's figures at each kill
    with log.open("wb") as out:
        environment = {**os.environ, "SPARK_HOME": str(_spark_home(folder)), "SPARK_LOCAL_IP": "127.0.0.1"}
        environment |= {"PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
        run = subprocess.Popen(_submit(folder, *arguments), env=environment, cwd=folder, stdout=out, stderr=out)
        try:
            while run.poll() is None:
                if len(before) < given.kills and server.stats()["requests"] > moments[len(before)]:
                    before += _kill(given.dies, run.pid, draw, root, server)
                time.sleep(0.02)
        finally:
            if run.poll() is None:
                kill_all([*descendants(run.pid), run.pid])
    if run.returncode:
        return [f"the run ended with {run.returncode}: {log.read_text(errors='replace')[-3000:]}"]
    after = _figures(server)
    for number, (kill, then) in enumerate(zip(before, [*before[1:], after], strict=True), start=1):
        left, again = (then[name] - kill[name] for name in ("abandoned", "again"))
        print(
            f"kill {number:2}: after {kill['requests']:5} requests, {kill['open']:2} in flight ({kill['in_flight']:2} at the server); "
            f"its workers lived {kill['outlived']:.2f} s longer; until the next {left:2} answers found nobody, {again:2} bought again"
        )
    again, bound = after["requests"] - given.calls, sum(kill["open"] for kill in before)
    print(f"{len(before)} kills: {after['requests']} requests for {given.calls} calls, {again} bought again, bound {bound}")
    few = [] if len(before) == given.kills else [f"the run ended after {len(before)} kills"]
    return few + judge(root, server, given.calls, bound, ["run", "synthesize", "--yes", *arguments])


def _kill(dies: str, run: int, draw: random.Random, root: Path, server: mockserver.Running) -> list[dict[str, Any]]:
    """One executor that has workers: one that has just been started buys nothing. Nothing where there is none yet."""
    executors = [pid for pid in descendants(run) if "CoarseGrainedExecutorBackend" in command_line_of(pid)]
    executors = [pid for pid in sorted(executors) if len(descendants(pid)) > 1]
    if not executors:
        return []
    executor = draw.choice(executors)
    daemon, *workers = descendants(executor)
    on_disk = _on_disk(root)  # before the server is asked: what it gets meanwhile is in flight, and no more than what has ended
    figures, began = _figures(server), time.monotonic()
    kill_all({"executor": [executor], "orphans": [daemon, executor], "all": [*workers, daemon, executor]}[dies])
    while any(command_line_of(pid) for pid in workers) and time.monotonic() - began < 30:
        time.sleep(0.005)
    return [{**figures, "open": min(figures["capacity"], figures["bodies"] - on_disk), "outlived": time.monotonic() - began}]


def _on_disk(root: Path) -> int:
    """Requests whose outcome is in a journal or in the ledger."""
    while True:
        try:
            journaled = {row[journal.KEY] for rows in journal.read_files(str(root / "_journal")) for row in rows}
            return len(journaled | {row["completion_id"] for row in final_rows(root)})  # a journal goes after its window's commit
        except FileNotFoundError:  # it went in this moment
            continue


def _figures(server: mockserver.Running) -> dict[str, Any]:
    stats = server.stats()
    return {**stats, "bodies": stats["distinct_bodies"], "again": stats["requests"] - stats["distinct_bodies"]}


def _spark_home(folder: Path) -> Path:
    """Links: what Spark writes to its home stays out of the environment."""
    home = folder / "spark"
    home.mkdir()
    for entry in Path(pyspark.__file__).parent.iterdir():
        (home / entry.name).symlink_to(entry)
    return home


def _submit(folder: Path, *arguments: str) -> list[str]:
    conf = [part for key, value in CONF.items() for part in ("--conf", f"{key}={value}")]
    package = archive.write_zip(folder / "personahub.zip")
    command = [str(folder / "spark/bin/spark-submit"), "--master", "local-cluster[2,4,1024]", *conf]
    return [*command, "--packages", spark.delta_package(), "--py-files", str(package), str(JOB), "synthesize", *arguments]


if __name__ == "__main__":
    main()
