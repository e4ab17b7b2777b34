"""What the kill trials of a stage share: kill -9 at random moments, again and again, until it is done; beside it a run that nobody kills.

Judge: the simulated server's own counter, and the files of the tables. Broken is more bought again than what was in flight at the kills,
a table that differs in anything but run_id, created_at, latency_s and attempts, and one more run that buys anything.
"""

import argparse
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from common import exit_with, killed_run, machine, personahub, rows_of, settings, write_personas

from personahub import mockserver

DIFFERENT = {"run_id", "created_at", "latency_s", "attempts"}


def parser(doc: str, kills: int) -> argparse.ArgumentParser:
    """With what every trial can be given."""
    made = argparse.ArgumentParser(description=doc.split("\n")[0])
    made.add_argument("--kills", type=int, default=kills)
    made.add_argument("--people", type=int, default=500)
    made.add_argument("--places", type=int, default=32)
    made.add_argument("--seed", type=int, default=1)
    return made


def run(
    given: argparse.Namespace, stage: str, what: str, keys: dict[str, Any], tables: Sequence[str], **simulated: Any
) -> NoReturn:
    """Kill `stage` under the settings `keys`, and compare `tables`. Exits 1 if anything is broken."""
    print(f"{given.kills} kills over {what} of {given.people} personas, {given.places} places, seed {given.seed}; {machine()}")
    with (
        tempfile.TemporaryDirectory() as folder,
        mockserver.start(port=0, capacity=given.places, median=0.2, seed=given.seed, **simulated) as server,
    ):
        exit_with(_trial(given, Path(folder), server, ["run", stage, "--yes"], keys, tables))


def _trial(
    given: argparse.Namespace,
    folder: Path,
    server: mockserver.Running,
    command: list[str],
    keys: dict[str, Any],
    tables: Sequence[str],
) -> list[str]:
    people = write_personas(folder / "people.jsonl", given.people, given.seed)
    whole, killed = (settings(folder / name, server, given.places, **keys) for name in ("whole", "killed"))
    personahub("import", "personas", people, *whole)
    shutil.copytree(folder / "whole", folder / "killed")
    personahub(*command, *whole)
    calls = server.stats()["requests"]
    print(f"nobody kills it: {calls} requests", flush=True)
    server.reset()
    kills = _kills(given, [*command, *killed], server, calls)
    personahub(*command, *killed)
    stats = server.stats()
    again, bound = stats["requests"] - calls, kills * given.places
    print(f"{kills} kills: {stats['requests']} requests for {calls} calls, {again} bought again, bound {bound}")
    broken = [f"the run ended after {kills} kills"] if kills < given.kills else []
    if again > bound:
        broken.append(f"{again} bought again, more than {bound}")
    if stats["distinct_bodies"] != calls:
        broken.append(f"{stats['distinct_bodies']} different requests, and {calls} where nobody kills it")
    for name in tables:
        one, other = (_content(folder / root, name) for root in ("whole", "killed"))
        print(
            f"{name:13} {one.total():7,} rows, {(one - other).total()} only where nobody kills it, {(other - one).total()} only here"
        )
        if one != other:
            broken.append(f"{name} differs")
    personahub(*command, *killed)
    more = server.stats()["requests"] - stats["requests"]
    print(f"one more run: {more} requests")
    return broken + ([f"a run with nothing missing made {more} requests"] if more else [])


def _kills(given: argparse.Namespace, arguments: list[str], server: mockserver.Running, calls: int) -> int:
    """How many runs were killed: in turn at any moment after the start, when so many requests were made, and some seconds after these, when
    answers are read back; the last when all are made and the tables are written. So many: drawn beforehand from all of them, so that the
    kills fall everywhere and all of them happen.
    """
    draw = random.Random(given.seed)
    made = [*sorted(draw.sample(range(1, calls * 9 // 10), given.kills - 1)), calls, calls]
    for kill in range(given.kills):
        there = server.stats()["distinct_bodies"]
        after, most = (max(1, made[at] - there) for at in (kill, kill + 1))
        seconds, moment = draw.uniform(0, 15), draw.uniform(2, 40)
        how = {"moment": moment, "most": after} if kill % 3 == 0 else {"after": after}
        if kill % 3 == 2:
            how |= {"later": seconds, "most": most}
        if kill + 1 == given.kills:
            how = {"after": calls - there, "later": seconds / 3}
        if not killed_run(arguments, server, counter="distinct_bodies", **how):
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
    if table == "lexical_index":
        return Counter(name for row in rows_of(root, table, ["persona_ids"]) for name in row["persona_ids"])
    return Counter(
        repr({key: value for key, value in sorted(row.items()) if key not in DIFFERENT}) for row in rows_of(root, table)
    )
