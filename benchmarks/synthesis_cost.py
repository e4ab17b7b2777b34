"""What synthesis costs beside its calls: CPU of the whole stage by that of the bare purchase of the same requests.

    python benchmarks/synthesis_cost.py [--calls 100000] [--base 1000] [--prompts zero_shot,few_shot] [--repeats 1] [--seed 1]

stage: `personahub run synthesize`, which builds the requests, buys, parses and inserts. bare: `buy` of the same requests, which lie ready
as a file (bare_purchase.py). Each in a fresh process on a hub of its own, at an endpoint that answers at once. CPU: driver, engine
and workers, not the simulated server. A run of --base calls is subtracted from each (0: none), so that what the engine's start costs is in
none; that varies by some seconds, which 30,000 calls do not drown. Of several repeats the least counts. The answers are simulated. Linux.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import Figure, command, machine, personahub, personas, print_table, settings, write_personas
from measure import NOTHING, Use, measured

from personahub import mockserver

BASE = 1000  # calls of the run that is subtracted; 0: none is
PLACES = 64
GOAL = 1.3
TASKS = ["math", "logic", "instruction", "knowledge", "npc", "tool"]  # conversations buy turn by turn: no request lies ready
BARE = Path(__file__).with_name("bare_purchase.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--base", type=int, default=BASE, help="calls of the run that is subtracted; 0: none is")
    parser.add_argument("--prompts", default="zero_shot,few_shot")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(f"{given.calls} calls less {given.base}, seed {given.seed}; {machine()}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        few_shot = {
            "synthesis.tasks": json.dumps(TASKS),
            "synthesis.mode": "persona_few_shot",
            "synthesis.few_shot.file": _examples(Path(folder) / "examples.jsonl"),
        }
        prompts = {
            "zero_shot": ("math, zero_shot", 1, {"synthesis.tasks": "[math]"}),
            "few_shot": (f"{len(TASKS)} tasks, persona_few_shot of 3", len(TASKS), few_shot),
        }
        print_table([_figure(given, *prompts[name]) for name in given.prompts.split(",")])


def _figure(given: argparse.Namespace, what: str, tasks: int, keys: dict[str, Any]) -> Figure:
    few, many = (_least(count // tasks, tasks, given, keys) for count in (given.base, given.calls))
    more = (given.calls // tasks - given.base // tasks) * tasks
    stage, bare = ((many[way].cpu - few[way].cpu) / more * 1000 for way in ("stage", "bare"))
    ours, beside = (f"{cost:.2f} ({_shares(few[way], many[way], more)})" for way, cost in (("stage", stage), ("bare", bare)))
    return Figure(f"{what}: CPU ms a call", f"{ours}: {stage / bare:.2f} of it", beside, f"<= {GOAL}", stage <= GOAL * bare)


def _shares(few: Use, many: Use, calls: int) -> str:
    """Of the kinds of processes, as last seen of each: a little less than they are together."""
    return ", ".join(f"{kind} {(many.shares[kind] - few.shares[kind]) / calls * 1000:.2f}" for kind in few.shares)


def _least(people: int, tasks: int, given: argparse.Namespace, keys: dict[str, Any]) -> dict[str, Use]:
    if not people:
        return {"stage": NOTHING, "bare": NOTHING}
    runs = [_run(people, tasks, given.seed, keys) for _ in range(given.repeats)]
    return {way: min((run[way] for run in runs), key=lambda use: use.cpu) for way in runs[0]}


def _run(people: int, tasks: int, seed: int, keys: dict[str, Any]) -> dict[str, Use]:
    """Both ways. Raises RuntimeError if anything was asked for twice, or not at all."""
    found = {}
    with tempfile.TemporaryDirectory() as name, mockserver.start(port=0, capacity=10_000, median=0.0, seed=seed) as server:
        folder = Path(name)
        bare, stage = (settings(folder / way, server, PLACES, **keys) for way in ("bare", "stage"))
        personahub("import", "personas", write_personas(folder / "personas.jsonl", people, seed), *bare)
        measured([sys.executable, str(BARE), "make", str(folder / "requests"), *bare[1::2]], folder / "log")
        shutil.copytree(folder / "bare", folder / "stage")
        for way, what in {
            "bare": [sys.executable, str(BARE), "buy", str(folder / "requests"), *bare[1::2]],
            "stage": command("run", "synthesize", "--yes", *stage),
        }.items():
            server.reset()
            use = measured(what, folder / "log")
            if server.stats()["requests"] != people * tasks:
                raise RuntimeError(f"{way}: {server.stats()['requests']} requests for {people * tasks} calls")
            found[way] = use
            told = ", ".join(f"{kind} {seconds:.1f}" for kind, seconds in use.shares.items())
            print(f"{people * tasks} calls, {way}: {use.wall:.0f} s, CPU {use.cpu:.1f} s, of it {told}", flush=True)
    return found


def _examples(path: Path) -> Path:
    """Nine for each task, each with a persona, as long as those of conf/examples.jsonl."""
    text = "A mill on the estuary turns at each of the two tides of a day and grinds {} sacks of rye at each. A carter takes {} away "
    text += "each evening. After how many days are there more than {} sacks in the mill, if there were none at first?"
    rows = [
        {"task": task, "text": text.format(number + 7, number + 2, number * 30), "persona": persona}
        for task in TASKS
        for number, persona in enumerate(personas(9, 1))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


if __name__ == "__main__":
    main()
