"""Endpoint use: the whole `synthesize` stage against a bare asyncio loop, on the same simulated server, in one run.

    python benchmarks/llm_stage.py [--calls 12000] [--places 64] [--median 0.4] [--sigma 0.9] [--cores 2]

util: busy places over all places, from the first request to the last answer; body: up to the last request's arrival. With --cores the
command (driver, engine, workers) and the bare loop have so many cores, and the server has the others (Linux). The server simulates
latency and capacity only; nothing here is a model's figure.
"""

import argparse
import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import Figure, bare_loop, machine, personahub, print_table, settings, use, write_personas

from personahub import mockserver


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=12_000)
    parser.add_argument("--places", type=int, default=64)
    parser.add_argument("--median", type=float, default=0.4)
    parser.add_argument("--sigma", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cores", type=int, help="that the clients have; the server has the others")
    given = parser.parse_args()
    if given.cores is not None and not 0 < given.cores < len(os.sched_getaffinity(0)):
        parser.error(f"--cores must leave the server one of {len(os.sched_getaffinity(0))}")
    print(
        f"{given.calls} calls, {given.places} places, median {given.median} s, sigma {given.sigma}, seed {given.seed}; {machine()}"
        + (f", {given.cores} of them for the clients" if given.cores else "")
    )
    print_table(figures(given.calls, given.places, given.median, given.sigma, given.seed, given.cores))


def figures(
    calls: int = 12_000, places: int = 64, median: float = 0.4, sigma: float = 0.9, seed: int = 1, cores: int | None = None
) -> list[Figure]:
    server_settings = {"port": 0, "capacity": places, "median": median, "sigma": sigma, "seed": seed}
    with tempfile.TemporaryDirectory() as folder, _server(server_settings, cores) as server:
        root = Path(folder) / "hub"
        source = write_personas(Path(folder) / "personas.jsonl", calls, seed)
        personahub("import", "personas", source, *settings(root, server))
        server.reset()
        cpu = personahub("run", "synthesize", "--yes", *settings(root, server, places))
        ours = use(server)
    with _server(server_settings, cores) as server:
        floor_cpu = bare_loop(server, calls, seed, places)
        floor = use(server)
    if ours.requests != calls or floor.requests != calls:
        raise RuntimeError(f"{ours.requests} and {floor.requests} requests for {calls} calls")
    body, util = ours.body / floor.body, ours.util / floor.util
    return [
        Figure("places busy, to the last answer", f"{ours.util:.3f}", f"bare loop {floor.util:.3f}: {util:.3f} of it"),
        Figure(
            "places busy, to the last request",
            f"{ours.body:.3f}",
            f"bare loop {floor.body:.3f}: {body:.3f} of it",
            ">= 0.97",
            body >= 0.97,
        ),
        Figure("seconds", f"{ours.span:.1f}", f"bare loop {floor.span:.1f}"),
        Figure(
            "CPU ms a call, the engine's start included", f"{cpu / calls * 1000:.2f}", f"bare loop {floor_cpu / calls * 1000:.2f}"
        ),
    ]


@contextlib.contextmanager
def _server(settings: dict[str, Any], client_cores: int | None) -> Iterator[mockserver.Running]:
    """What this process starts afterwards, and its own loop, have the first `client_cores` cores; the server has the others."""
    with contextlib.ExitStack() as stack:
        if client_cores is None:
            yield stack.enter_context(mockserver.start(**settings))
            return
        cores = os.sched_getaffinity(0)
        stack.callback(os.sched_setaffinity, 0, cores)
        os.sched_setaffinity(0, sorted(cores)[client_cores:])
        server = stack.enter_context(mockserver.start(**settings))
        os.sched_setaffinity(0, sorted(cores)[:client_cores])
        yield server


if __name__ == "__main__":
    main()
