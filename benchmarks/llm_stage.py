"""Endpoint use: the whole `synthesize` stage against a bare asyncio loop, on the same simulated server, in one run.

    python benchmarks/llm_stage.py [--calls 12000] [--places 64] [--median 0.4] [--sigma 0.9]

util: busy places over all places, from the first request to the last answer; body: up to the last request's arrival. The server
simulates latency and capacity only; nothing here is a model's figure.
"""

import argparse
import tempfile
from pathlib import Path

from common import bare_loop, machine, personahub, settings, use, write_personas

from personahub.llm import mock_server


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=12_000)
    parser.add_argument("--places", type=int, default=64)
    parser.add_argument("--median", type=float, default=0.4)
    parser.add_argument("--sigma", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(
        f"{given.calls} calls, {given.places} places, median {given.median} s, sigma {given.sigma}, seed {given.seed}; {machine()}"
    )
    server_settings = {"port": 0, "capacity": given.places, "median": given.median, "sigma": given.sigma, "seed": given.seed}
    with tempfile.TemporaryDirectory() as folder, mock_server.start(**server_settings) as server:
        root = Path(folder) / "hub"
        source = write_personas(Path(folder) / "personas.jsonl", given.calls, given.seed)
        limit = {"models.default.max_concurrent_requests": given.places, "models.default.response_format": "json_schema"}
        personahub("import", "personas", source, *settings(root, server))
        server.reset()
        cpu = personahub("run", "synthesize", "--yes", *settings(root, server, **limit))
        ours = use(server)
    with mock_server.start(**server_settings) as server:
        floor_cpu = bare_loop(server, given.calls, given.seed, given.places)
        floor = use(server)
    print(f"{'':12} {'requests':>9} {'span s':>8} {'util':>6} {'body':>6} {'CPU ms/call':>12}")
    for name, each, seconds in (("personahub", ours, cpu), ("bare loop", floor, floor_cpu)):
        per_call = seconds / given.calls * 1000
        print(f"{name:12} {each.requests:9} {each.span:8.1f} {each.util:6.3f} {each.body:6.3f} {per_call:12.2f}")
    print(f"ratio of util {ours.util / floor.util:.3f}, of body {ours.body / floor.body:.3f} (goal: util >= 0.97)")


if __name__ == "__main__":
    main()
