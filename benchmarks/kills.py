"""Kill -9 of the whole run (driver, engine, workers) at random moments, again and again, until all is answered.

    python benchmarks/kills.py [--kills 20] [--calls 3000] [--places 32] [--journal auto|off] [--requests-per-commit 250]

Judge: the simulated server's own counter of requests, and the files of `completions`. Exits 1 if a bound is broken:
every request answered by exactly one final row, no committed answer lost, what was bought again within the bound (per kill, the
requests in flight with the journal; requests_per_commit x concurrent_windows without), and one more run buys nothing.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

from common import command, exit_with, final_rows, machine, personahub, settings, write_personas
from measure import processes

from personahub import mockserver


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--places", type=int, default=32)
    parser.add_argument("--journal", choices=("auto", "off"), default="auto")
    parser.add_argument("--requests-per-commit", type=int, default=250)
    parser.add_argument("--concurrent-windows", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(
        f"{given.kills} kills over {given.calls} calls, {given.places} places, journal {given.journal}, seed {given.seed}; {machine()}"
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        mockserver.start(port=0, capacity=given.places, median=0.3, seed=given.seed) as server,
    ):
        broken = _trial(given, Path(folder), server)
    exit_with(broken)


def _trial(given: argparse.Namespace, folder: Path, server: mockserver.Running) -> list[str]:
    draw, root, broken = random.Random(given.seed), folder / "hub", []
    arguments = settings(
        root,
        server,
        given.places,
        **{
            "inference.requests_per_commit": given.requests_per_commit,
            "inference.concurrent_windows": given.concurrent_windows,
            "inference.journal": given.journal,
        },
    )
    personahub("import", "personas", write_personas(folder / "personas.jsonl", given.calls, given.seed), *arguments)
    bound = given.places if given.journal == "auto" else given.requests_per_commit * given.concurrent_windows
    share = given.calls // (given.kills + 1)
    before: Counter[str] = Counter()
    done_kills = 0
    for kill in range(1, given.kills + 1):
        # every third at any moment from its start on (the engine's start, the journal's rescue, staging), the others while it buys
        moment = draw.uniform(2, 20) if kill % 3 == 0 else None
        if not _killed_run(["run", "synthesize", "--yes", *arguments], server, draw.randint(1, 2 * share - 1), moment):
            print(f"the run ended before kill {kill}")
            break
        done_kills += 1
        committed = Counter(row["completion_id"] for row in final_rows(root))
        lost = [name for name in before if name not in committed]
        if lost:
            broken.append(f"kill {kill} lost {len(lost)} committed answers")
        before = committed
        requests, bought = server.stats()["requests"], server.stats()["distinct_bodies"]
        print(
            f"kill {kill:2}: {requests} requests, {bought} different, {len(committed)} committed, {requests - bought} bought again"
        )
    personahub("run", "synthesize", "--yes", *arguments)
    requests = server.stats()["requests"]
    again = requests - given.calls
    print(f"{done_kills} kills: {requests} requests for {given.calls} calls, {again} bought again, bound {done_kills * bound}")
    return broken + _judge(root, server, given.calls, done_kills * bound, ["run", "synthesize", "--yes", *arguments])


def _killed_run(arguments: list[str], server: mockserver.Running, after: int, moment: float | None) -> bool:
    """Start `personahub *arguments` and kill -9 it with all that it has started: `moment` seconds later or, without one, as soon as it has
    made `after` requests. False: it ended by itself before.
    """
    start, began = server.stats()["requests"], time.monotonic()
    run = subprocess.Popen(command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        while run.poll() is None:
            if moment is None and server.stats()["requests"] - start >= after:
                return True
            if moment is not None and time.monotonic() - began >= moment:
                return True
            time.sleep(0.02)
        return False
    finally:
        for pid in [*(each for each, *_ in processes(run.pid)), run.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        run.wait()


def _judge(root: Path, server: mockserver.Running, calls: int, bound: int, arguments: list[str]) -> list[str]:
    """What is broken once `personahub *arguments` has answered all `calls`: rows, money, or that one more run buys nothing."""
    broken = []
    rows, requests = Counter(row["completion_id"] for row in final_rows(root)), server.stats()["requests"]
    if set(rows.values()) != {1} or len(rows) != calls:
        broken.append(f"{len(rows)} of {calls} calls are answered; rows per call {Counter(rows.values())}")
    if requests - calls > bound:
        broken.append(f"{requests - calls} bought again, more than {bound}")
    personahub(*arguments)
    more = server.stats()["requests"] - requests
    print(f"one more run: {more} requests")
    if more:
        broken.append(f"a run with nothing missing made {more} requests")
    return broken


if __name__ == "__main__":
    main()
