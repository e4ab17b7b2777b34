"""Endpoint use: the whole `synthesize` stage against a bare asyncio loop, on the same simulated server, in one run.

    python benchmarks/llm_stage.py [--calls 12000] [--places 64] [--median 0.4] [--sigma 0.9] [--cores 2]

util: busy places over all places, from the first request to the last answer; body: up to the last request's arrival. With --cores the
command (driver, JVM, workers) and the bare loop have so many cores, and the server has the others (Linux). The server simulates
latency and capacity only; nothing here is a model's figure.
"""

import argparse
import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import bare_loop, machine, personahub, settings, use, write_personas

from personahub.llm import mock_server


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
    server_settings = {"port": 0, "capacity": given.places, "median": given.median, "sigma": given.sigma, "seed": given.seed}
    with tempfile.TemporaryDirectory() as folder, _server(server_settings, given.cores) as server:
        root = Path(folder) / "hub"
        source = write_personas(Path(folder) / "personas.jsonl", given.calls, given.seed)
        limit = {"models.default.max_concurrent_requests": given.places, "models.default.response_format": "json_schema"}
        personahub("import", "personas", source, *settings(root, server))
        server.reset()
        cpu = personahub("run", "synthesize", "--yes", *settings(root, server, **limit))
        ours = use(server)
    with _server(server_settings, given.cores) as server:
        floor_cpu = bare_loop(server, given.calls, given.seed, given.places)
        floor = use(server)
    print(f"{'':12} {'requests':>9} {'span s':>8} {'util':>6} {'body':>6} {'CPU ms/call':>12}")
    for name, each, seconds in (("personahub", ours, cpu), ("bare loop", floor, floor_cpu)):
        per_call = seconds / given.calls * 1000
        print(f"{name:12} {each.requests:9} {each.span:8.1f} {each.util:6.3f} {each.body:6.3f} {per_call:12.2f}")
    print(f"ratio of util {ours.util / floor.util:.3f}, of body {ours.body / floor.body:.3f} (goal: util >= 0.97)")


@contextlib.contextmanager
def _server(settings: dict[str, Any], client_cores: int | None) -> Iterator[mock_server.Running]:
    """What this process starts afterwards, and its own loop, have the first `client_cores` cores; the server has the others."""
    with contextlib.ExitStack() as stack:
        if client_cores is None:
            yield stack.enter_context(mock_server.start(**settings))
            return
        cores = os.sched_getaffinity(0)
        stack.callback(os.sched_setaffinity, 0, cores)
        os.sched_setaffinity(0, sorted(cores)[client_cores:])
        server = stack.enter_context(mock_server.start(**settings))
        os.sched_setaffinity(0, sorted(cores)[:client_cores])
        yield server


if __name__ == "__main__":
    main()
