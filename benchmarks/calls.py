"""What a call costs beside its answer: CPU and memory of the whole `synthesize` stage at an endpoint that answers at once.

    python benchmarks/calls.py [--calls 10000 100000] [--new 10000] [--ledger 1000000] [--base 1000]

A run of --base calls (of a ledger of so many rows) is subtracted from each, so that what the engine's start costs is in none. The floor
is a bare asyncio loop that sends the same prompts with the same client and keeps nothing. growth: a call of the longest run by one of the
first. The embedded engine runs our functions itself: its goal is that of both together. anti-join: `personahub estimate synthesize` of
new personas beside a ledger of so many answers. Linux.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import Figure, bare_loop, command, machine, on_spark, personahub, print_table, settings, write_personas
from measure import NOTHING, Use, measured

from personahub import mockserver

BASE = 1000  # calls, and rows of a ledger, of the run that is subtracted; 0: none is
PLACES = 64
AT_ONCE: dict[str, Any] = {"port": 0, "capacity": 10_000, "median": 0.0, "sigma": 0.0}  # of the simulated server


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--new", type=int, default=10_000, help="personas that nothing was asked of yet")
    parser.add_argument("--ledger", type=int, default=1_000_000, help="0: no anti-join")
    parser.add_argument("--base", type=int, default=BASE, help="calls of the run that is subtracted; 0: none is")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(f"seed {given.seed}; {machine()}", flush=True)
    print_table(figures(given.calls, given.new, given.ledger, given.seed, given.base))


def figures(calls: list[int], new: int, ledger: int, seed: int, base: int = BASE) -> list[Figure]:
    few, runs = (_stage(base, seed) if base else NOTHING), [_stage(count, seed) for count in calls]
    with mockserver.start(**AT_ONCE, seed=seed) as server:
        floor = f"bare loop {bare_loop(server, calls[0], seed, PLACES) / calls[0] * 1000:.2f}"
    found = []
    for count, run in zip(calls, runs, strict=True):
        share = {kind: (run.shares[kind] - few.shares[kind]) / (count - base) * 1000 for kind in run.shares}
        engine, name = share["engine"] + share["driver"], f"CPU ms a call of {count:,} calls"
        if on_spark():
            found.append(Figure(f"workers, {name}", f"{share['workers']:.2f}", floor, "<= 1.0", share["workers"] <= 1.0))
            found.append(Figure(f"JVM and driver, {name}", f"{engine:.2f}", "", "<= 1.0", engine <= 1.0))
        else:
            found.append(Figure(f"engine and driver, {name}", f"{engine:.2f}", floor, "<= 1.2", engine <= 1.2))
    if on_spark():
        largest = max(run.largest for run in runs) / 2**20
        found.append(Figure("the largest worker, MB resident", f"{largest:.0f}", "", "<= 400", largest <= 400))
    net = [(run.cpu - few.cpu) / (count - base) for count, run in zip(calls, runs, strict=True)]
    if len(calls) > 1:
        growth = net[-1] / net[0]
        what = f"cost of a call of {calls[-1]:,} by one of {calls[0]:,}"
        found.append(Figure(what, f"{growth:.2f}", "", "<= 1.15", growth <= 1.15))
    if ledger:
        join = _anti_join(new, ledger, seed) - (_anti_join(new, base, seed) if base else 0.0)
        what = f"anti-join of {new:,} new with a ledger of {ledger:,}, core-seconds"
        found.append(Figure(what, f"{join:.1f}", "", "<= 30", join <= 30))
    return found


def _stage(calls: int, seed: int) -> Use:
    """The whole command that asks for so many answers. Raises RuntimeError if one was asked for twice, or not at all."""
    with tempfile.TemporaryDirectory() as folder, mockserver.start(**AT_ONCE, seed=seed) as server:
        root, source = Path(folder) / "hub", write_personas(Path(folder) / "personas.jsonl", calls, seed)
        personahub("import", "personas", source, *settings(root, server))
        use = measured(command("run", "synthesize", "--yes", *settings(root, server, PLACES)), Path(folder) / "log")
        if server.stats()["requests"] != calls:
            raise RuntimeError(f"{server.stats()['requests']} requests for {calls} calls")
    print(f"{calls} calls: {use.wall:.0f} s, CPU {use.cpu:.0f} s, of it {_parts(use)}", flush=True)
    return use


def _anti_join(new: int, ledger: int, seed: int) -> float:
    """CPU seconds."""
    with tempfile.TemporaryDirectory() as folder, mockserver.start(**AT_ONCE, seed=seed) as server:
        root = Path(folder) / "hub"
        subprocess.run([sys.executable, Path(__file__).with_name("ledger.py"), root, str(ledger)], check=True)
        personahub("import", "personas", write_personas(Path(folder) / "personas.jsonl", new, seed), *settings(root, server))
        use = measured(command("estimate", "synthesize", *settings(root, server)), Path(folder) / "log")
    print(f"{new} new, ledger of {ledger}: {use.wall:.0f} s, CPU {use.cpu:.0f} s, of it {_parts(use)}", flush=True)
    return use.cpu


def _parts(use: Use) -> str:
    return ", ".join(f"{kind} {seconds:.0f}" for kind, seconds in use.shares.items())


if __name__ == "__main__":
    main()
