"""Are the endpoint's limits held, and used? The whole `synthesize` stage in several tasks and windows, judged by the server's count.

    python benchmarks/limits.py [places] [requests] [tokens] [tokens-far] [pool] [--places 64] [--told 128] [--rpm 600] [--tpm 160000]

places: the server answers 429 above its places and the client is told more. Goals: body >= 0.95, at most 5 % of the requests 429.
requests, tokens: a limit per minute. Goals: no 60 s hold more, at whatever second they begin, and >= 95 % of the limit is used in the
three minutes before the last request. Each HTTP request counts, the probe before the stage too. Tokens are those billed, prompt and
answer, at the moment when their request arrived; `tokens` has max_tokens near what the answers take, `tokens-far` the default 1024,
far above it. pool: three endpoints, of which one is not there and one has a third of the places. Goals: >= 0.95 of the places that are
there are used up to the last request, and at most 1 % of the requests go to the one that is not.

Exits 1 if a goal is missed; how well a limit is used is judged from 2,000 calls on. Nothing here is a model's figure.
"""

import argparse
import json
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from common import final_rows, machine, personahub, rows_of, settings, write_personas

from personahub import mockserver

Goals = dict[str, bool]
NEAR, FAR = 128, 1024  # max_tokens of a request; the server's answers take about 60
JUDGED = 2_000  # calls from which on a limit must be used, too: of fewer the start is much


def main() -> None:
    cases: dict[str, Callable[[argparse.Namespace], Goals]] = {
        "places": _places,
        "requests": _requests,
        "tokens": lambda given: _tokens(given, NEAR),
        "tokens-far": lambda given: _tokens(given, FAR),
        "pool": _pool,
    }
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", metavar="case", help=f"{', '.join(cases)}; none: all")
    parser.add_argument("--places", type=int, default=64)
    parser.add_argument("--told", type=int, default=128)
    parser.add_argument("--calls", type=int, default=12_000, help="of the cases places and pool")
    parser.add_argument("--rpm", type=int, default=600)
    parser.add_argument("--tpm", type=int, default=160_000)
    parser.add_argument("--paced-calls", type=int, default=2_000, help="of the other cases: at least three whole minutes")
    parser.add_argument("--median", type=float, default=0.4)
    parser.add_argument("--sigma", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if unknown := set(given.cases) - set(cases):
        parser.error(f"unknown case {', '.join(sorted(unknown))}; known: {', '.join(cases)}")
    print(f"median {given.median} s, sigma {given.sigma}, seed {given.seed}; {machine()}")
    missed = [f"{name}: {goal}" for name in given.cases or cases for goal, reached in cases[name](given).items() if not reached]
    for goal in missed:
        print(f"MISSED: {goal}")
    sys.exit(1 if missed else 0)


def _places(given: argparse.Namespace) -> Goals:
    stats, whole = _run(
        given, given.calls, {"overflow": "429"}, max_concurrent_requests=given.told, response_format="json_schema"
    )
    refused = stats["by_status"].get("429", 0) / stats["requests"]
    print(
        f"places: {given.calls} calls, {given.places} places, told {given.told}: body {stats['body_utilisation']:.3f} (goal >= 0.95), "
        f"util {stats['utilisation']:.3f}, 429s {refused:.1%} of {stats['requests']} requests (goal <= 5 %)"
    )
    goals = {"body >= 0.95": stats["body_utilisation"] >= 0.95, "429s <= 5 %": refused <= 0.05}
    return whole | (goals if given.calls >= JUDGED else {})


def _requests(given: argparse.Namespace) -> Goals:
    stats, whole = _run(given, given.paced_calls, {}, max_requests_per_minute=given.rpm)
    return whole | _paced("requests", stats, given.rpm)


def _tokens(given: argparse.Namespace, max_tokens: int) -> Goals:
    params = f"{{max_tokens: {max_tokens}}}"
    stats, whole = _run(given, given.paced_calls, {}, max_tokens_per_minute=given.tpm, generation_params=params)
    print(
        f"a request took {stats['prompt_tokens'] / stats['billed']:.0f} tokens and its answer "
        f"{stats['completion_tokens'] / stats['billed']:.0f}, max_tokens {max_tokens}:"
    )
    return whole | _paced("tokens", stats, given.tpm)


def _pool(given: argparse.Namespace) -> Goals:
    places = (given.places, max(1, given.places // 3))
    common = {"port": 0, "overflow": "429", "median": given.median, "sigma": given.sigma, "seed": given.seed}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        large, small = (stack.enter_context(mockserver.start(**common, capacity=each)) for each in places)
        nobody = stack.enter_context(socket.socket())
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        urls = {large.base_url: places[0], f"http://127.0.0.1:{nobody.getsockname()[1]}/v1": places[0], small.base_url: places[1]}
        pool = [{"base_url": url, "max_concurrent_requests": each} for url, each in urls.items()]
        root = Path(folder) / "hub"
        arguments = settings(root, large, **{"models.default.endpoints": json.dumps(pool)})
        arguments += ["--set", "models.default.response_format=json_schema"]  # no probe finds the dead one before the run
        personahub("import", "personas", write_personas(Path(folder) / "personas.jsonl", given.calls, given.seed), *arguments)
        personahub("run", "synthesize", "--yes", *arguments)
        stats = [large.stats(), small.stats()]
        rows = rows_of(root, "completions", ["final", "error_kind", "attempts", "base_url"])
    answers, attempts = sum(row["final"] and row["error_kind"] is None for row in rows), sum(row["attempts"] for row in rows)
    used = sum(each["body_utilisation"] * count for each, count in zip(stats, places, strict=True)) / sum(places)
    dead, bought_twice = attempts - sum(each["requests"] for each in stats), sum(each["bought_twice"] for each in stats)
    by = Counter(row["base_url"] for row in rows)
    by_place = ", ".join(f"{each['body_utilisation']:.3f}" for each in stats)
    print(
        f"pool of {places[0]}, {places[0]} (dead) and {places[1]} places, {given.calls} calls: {used:.3f} of what is up used up to the "
        f"last request (goal >= 0.95: {by_place}), {dead} of {attempts} requests "
        f"to the dead one (goal <= 1 %), answers by endpoint {sorted(by.values())}, 429s "
        f"{sum(each['by_status'].get('429', 0) for each in stats)}, {bought_twice} bought twice"
    )
    goals = {"used >= 0.95": used >= 0.95, "requests to the dead one <= 1 %": 0 < dead <= 0.01 * attempts}
    whole = {"every answer whole, bought once": answers == given.calls and not bought_twice}
    return whole | (goals if given.calls >= JUDGED else {})


def _paced(what: str, stats: dict[str, Any], limit: int) -> Goals:
    busiest, minutes = stats[f"max_{what}_per_minute"], stats[f"{what}_by_minute"]
    used = sum(minutes[-3:]) / (3 * limit)  # the first minute begins with the probe, before the stage
    span = stats["last_request"] - stats["first_request"]
    print(
        f"{what}: {limit} a minute; the busiest 60 s held {busiest} (goal <= {limit}), used {used:.3f} (goal >= 0.95): whole minutes "
        f"{minutes}, {stats['requests']} requests in {span:.0f} s, 429s {stats['by_status'].get('429', 0)}"
    )
    return {f"no minute above {limit}": busiest <= limit, "used >= 0.95": used >= 0.95}


def _run(given: argparse.Namespace, calls: int, server_settings: dict[str, Any], **model: Any) -> tuple[dict[str, Any], Goals]:
    """The server's count of the whole command, and whether every answer came, once."""
    simulated = {"port": 0, "capacity": given.places, "median": given.median, "sigma": given.sigma, "seed": given.seed}
    with tempfile.TemporaryDirectory() as folder, mockserver.start(**simulated, **server_settings) as server:
        root = Path(folder) / "hub"
        arguments = settings(root, server, **{f"models.default.{key}": value for key, value in model.items()})
        # several windows, of several tasks each
        arguments += ["--set", f"inference.requests_per_commit={min(1000, calls // 8)}"]
        personahub("import", "personas", write_personas(Path(folder) / "personas.jsonl", calls, given.seed), *arguments)
        personahub("run", "synthesize", "--yes", *arguments)
        stats = server.stats()
        answers = sum(row["error_kind"] is None for row in final_rows(root))
    print(f"{answers} final answers in the ledger, {stats['bought_twice']} bought twice")
    probes = "response_format" not in model  # its answer is kept as well
    return stats, {"every answer whole, bought once": answers == calls + probes and not stats["bought_twice"]}


if __name__ == "__main__":
    main()
