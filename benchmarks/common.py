"""What the benchmarks share: a hub of generated personas, a run of the real command, and the bare loop it is held against."""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import pyarrow.parquet as pq
from measure import used

from personahub import mockserver
from personahub.config import Model
from personahub.llm.chat import ChatClient
from personahub.llm.dialects import Dialect
from personahub.llm.types import ChatCall
from personahub.stages.synthesize import tasks

_WHO = (
    "nurse teacher plumber sailor chemist farmer judge baker pilot librarian cellist welder midwife broker potter ranger".split()
)
_WHERE = "village harbour suburb island valley campus prairie border capital mining town resort parish district monastery".split()
_WHAT = "collects restores teaches repairs studies sells breeds maps translates paints audits brews designs tunes hunts".split()
_THING = "clocks bridges orchids ledgers violins maps engines bees stamps lenses boats looms radios fossils poems seeds".split()


def personas(count: int, seed: int) -> Iterator[str]:
    """`count` different persona-like texts; the seed is printed by whoever uses them."""
    draw = random.Random(seed)
    for number in range(count):
        yield (
            f"A {draw.choice(_WHO)} from a {draw.choice(_WHERE)} who {draw.choice(_WHAT)} {draw.choice(_THING)} and "
            f"{draw.choice(_WHAT)} {draw.choice(_THING)} for the {draw.choice(_WHERE)} club number {number}"
        )


def write_personas(path: Path, count: int, seed: int) -> Path:
    path.write_text("".join(json.dumps({"persona": text}) + "\n" for text in personas(count, seed)))
    return path


def settings(root: Path, server: mockserver.Running, places: int | None = None, **more: Any) -> list[str]:
    """The arguments of a run on `server`. places: so many requests in flight, at an endpoint that need not be probed."""
    values = {"root": root, "models.default.base_url": server.base_url, **more}
    if places is not None:
        values |= {"models.default.max_concurrent_requests": places, "models.default.response_format": "json_schema"}
    return [argument for key, value in values.items() for argument in ("--set", f"{key}={value}")]


def on_spark() -> bool:
    """Is it Spark that runs what names no engine? See `engines.open_session`."""
    engine = os.environ.get("PERSONAHUB_ENGINE", "auto")
    return engine == "spark" or (engine == "auto" and find_spec("pysail") is None)


def two_cores(**conf: str) -> list[str]:
    """Overrides: Spark on two cores with a driver of 2 GB. The embedded engine takes the cores that it finds."""
    if not on_spark():
        return ["spark.engine=embedded"]
    return ["spark.master=local[2]", f"spark.conf={json.dumps({'spark.driver.memory': '2g', **conf})}"]


def personahub(*arguments: str | Path) -> float:
    """Run the command; returns the CPU seconds of it and all its children (driver, engine, workers), on Linux."""
    return used(command(*arguments)).cpu


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "personahub", *map(str, arguments)]


@dataclass(frozen=True)
class Use:
    """How an endpoint was used, by its own account."""

    requests: int
    span: float  # seconds from the first request to the last answer
    util: float  # busy places / places, over the span
    body: float  # the same up to the last request's arrival


@dataclass(frozen=True)
class Figure:
    """A line of a benchmark's table: what was measured, beside a floor or a peer of the same run, and its goal if it has one."""

    what: str
    ours: str
    beside: str = ""
    goal: str = ""
    met: bool | None = None


def print_table(figures: list[Figure]) -> None:
    lines = [("", "ours", "beside it", "goal", "")]
    lines += [
        (each.what, each.ours, each.beside, each.goal, {None: "", True: "met", False: "MISSED"}[each.met]) for each in figures
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(part.ljust(width) for part, width in zip(line, widths, strict=True)).rstrip())


def use(server: mockserver.Running) -> Use:
    stats = server.stats()
    return Use(stats["requests"], stats["last_answer"] - stats["first_request"], stats["utilisation"], stats["body_utilisation"])


def bare_loop(server: mockserver.Running, count: int, seed: int, places: int) -> float:
    """The floor: the same prompts by the same client in one asyncio loop, with nothing kept. Returns its CPU seconds."""
    model = Model(base_url=server.base_url)
    prompt = tasks.load("math").prompts["zero_shot"]
    gate = asyncio.Semaphore(places)

    async def one(client: ChatClient, text: str) -> None:
        async with gate:
            messages = prompt.render({"persona": text})
            await client.attempt(ChatCall("", "", 0, prompt.name, prompt.version, messages, prompt.schema, prompt.schema_name))

    async def all_of_them() -> None:
        client = ChatClient(model, None, Dialect())
        await asyncio.gather(*(one(client, text) for text in personas(count, seed)))
        await client.close()

    began = time.process_time()
    asyncio.run(all_of_them())
    return time.process_time() - began


def final_rows(root: Path) -> list[dict[str, Any]]:
    """completion_id and error_kind of the final rows of `completions`."""
    return [row for row in rows_of(root, "completions", ["completion_id", "final", "error_kind"]) if row["final"]]


def rows_of(root: Path, table: str, columns: list[str] | None = None) -> list[dict[str, Any]]:
    """From the files that its log names; needs no engine."""
    files: dict[str, dict[str, Any]] = {}  # each with the values of the columns that the table is partitioned by
    for entry in sorted((root / table / "_delta_log").glob("*.json")):
        for line in entry.read_text().splitlines():
            action = json.loads(line)
            if "add" in action:
                files[action["add"]["path"]] = action["add"].get("partitionValues") or {}
            elif "remove" in action:
                files.pop(action["remove"]["path"], None)
    rows = []
    for file, parts in files.items():
        held = pq.ParquetFile(root / table / file).read(columns=columns and [name for name in columns if name not in parts])
        rows += [row | parts for row in held.to_pylist()]
    return rows


def exit_with(broken: list[str]) -> NoReturn:
    """1 if anything is broken, which is told."""
    for problem in broken:
        print(f"BROKEN: {problem}")
    sys.exit(1 if broken else 0)


def machine() -> str:
    return f"{'Spark' if on_spark() else 'embedded engine'}, {os.cpu_count()} cores, Python {sys.version.split()[0]}"
