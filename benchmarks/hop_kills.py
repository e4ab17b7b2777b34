"""Kill -9 of a run of six hops at random moments, again and again, until it is done; beside it a run that nobody kills.

    python benchmarks/hop_kills.py [--kills 20] [--people 500] [--hops 6] [--places 32] [--duplicates 0.65] [--seed 1]

Judge: the simulated server's own counter, and the files of the tables. Exits 1 if more was bought again than what was in flight at the
kills, if a table differs in anything but run_id, created_at, latency_s and attempts, or if one more run buys anything.
"""

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from common import killed_run, machine, personahub, rows_of, settings, write_personas

from personahub.llm import mock_server

STAGE = "persona-to-persona"
TABLES = ("requests", "completions", "personas", "lineage", "duplicates", "rejects", "lexical_keys", "tombstones")
DIFFERENT = {"run_id", "created_at", "latency_s", "attempts"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--people", type=int, default=500)
    parser.add_argument("--hops", type=int, default=6)
    parser.add_argument("--places", type=int, default=32)
    parser.add_argument("--duplicates", type=float, default=0.65)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(
        f"{given.kills} kills over {given.hops} hops from {given.people} personas, {given.places} places, seed {given.seed}; {machine()}"
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        mock_server.start(port=0, capacity=given.places, median=0.2, duplicates=given.duplicates, seed=given.seed) as server,
    ):
        broken = _trial(given, Path(folder), server)
    for problem in broken:
        print(f"BROKEN: {problem}")
    sys.exit(1 if broken else 0)


def _trial(given: argparse.Namespace, folder: Path, server: mock_server.Running) -> list[str]:
    people = write_personas(folder / "people.jsonl", given.people, given.seed)
    keys = {
        "models.default.max_concurrent_requests": given.places,
        "models.default.response_format": "json_schema",
        "persona_to_persona.hops": given.hops,
    }
    whole, killed = (settings(folder / name, server, **keys) for name in ("whole", "killed"))
    for arguments in (whole, killed):
        personahub("import", "personas", people, *arguments)
    personahub("run", STAGE, "--yes", *whole)
    calls = server.stats()["requests"]
    print(f"nobody kills it: {calls} requests", flush=True)
    server.reset()
    kills = _kills(given, killed, server, calls)
    personahub("run", STAGE, "--yes", *killed)
    stats = server.stats()
    again, bound = stats["requests"] - calls, kills * given.places
    print(f"{kills} kills: {stats['requests']} requests for {calls} calls, {again} bought again, bound {bound}")
    broken = [f"{again} bought again, more than {bound}"] if again > bound else []
    if stats["distinct_bodies"] != calls:
        broken.append(f"{stats['distinct_bodies']} different requests, and {calls} where nobody kills it")
    for name in TABLES:
        one, other = (_content(folder / root, name) for root in ("whole", "killed"))
        print(
            f"{name:13} {one.total():7,} rows, {(one - other).total()} only where nobody kills it, {(other - one).total()} only here"
        )
        if one != other:
            broken.append(f"{name} differs")
    personahub("run", STAGE, "--yes", *killed)
    more = server.stats()["requests"] - stats["requests"]
    print(f"one more run: {more} requests")
    return broken + ([f"a run with nothing missing made {more} requests"] if more else [])


def _kills(given: argparse.Namespace, arguments: list[str], server: mock_server.Running, calls: int) -> int:
    """How many runs were killed: in turn at any moment after the start, after so many requests, and some seconds after these, when answers
    are read back, deduplicated, or the next frontier is frozen.
    """
    draw, share = random.Random(given.seed), calls // given.kills
    for kill in range(given.kills):
        after, seconds = draw.randint(1, share), draw.uniform(0, 15)
        moment = draw.uniform(2, 40)
        how = {"moment": moment} if kill % 3 == 0 else {"after": after} if kill % 3 == 1 else {"after": after, "later": seconds}
        if not killed_run(["run", STAGE, "--yes", *arguments], server, **how):
            print(f"the run ended before kill {kill + 1}")
            return kill
        stats = server.stats()
        told = ", ".join(f"{name} {value:.0f}" for name, value in how.items())
        print(f"kill {kill + 1:2} ({told}): {stats['requests']} requests, {stats['distinct_bodies']} different", flush=True)
    return given.kills


def _content(root: Path, table: str) -> Counter[str]:
    """The rows, without what differs from run to run; of the keys, whose they are."""
    if not (root / table).exists():
        return Counter()
    if table == "lexical_keys":
        return Counter(name for row in rows_of(root, table, ["persona_ids"]) for name in row["persona_ids"])
    return Counter(
        repr({key: value for key, value in sorted(row.items()) if key not in DIFFERENT}) for row in rows_of(root, table)
    )


if __name__ == "__main__":
    main()
