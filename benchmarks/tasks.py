"""Every task in every mode, on many personas: is each answer accounted for, and each example what its task asks for?

    python benchmarks/tasks.py [--personas FILE | --root HUB] [--people 500] [--modes zero_shot few_shot persona_few_shot]
        [--refusals 0.02] [--seed 1]

The personas are generated, a jsonl file's, or those of a hub, which is copied. Checked by the server's count and the files of the tables:
each final answer became one example or one reject, each first turn one conversation or one reject; an example is valid by its task's
schema, in a conversation user and assistant take turns and the assistant has the last word; a reject has its reason; nothing was bought
twice, and a second run buys nothing. Exits 1 if any of it is broken. The answers are simulated, --refusals of them as refusals: the
shares in the table are the mock server's and no model's.
"""

import argparse
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import fastjsonschema
from common import exit_with, machine, personahub, rows_of, settings, write_personas

from personahub import ids, mockserver
from personahub.config import Config, load
from personahub.stages.synthesize import conversation
from personahub.stages.synthesize.tasks import CONVERSATION, FIRST_TURN, choose

EXAMPLES = Path(__file__).resolve().parents[1] / "conf" / "examples.jsonl"
SHOWN = 2  # as many as that file has of each task
MODES = ("zero_shot", "few_shot", "persona_few_shot")
TASKS: list[Any] = [
    "math",
    "logic",
    {"name": "logic", "kind": "spatial"},
    {"name": "logic", "kind": "ruozhiba"},
    "instruction",
    "knowledge",
    "npc",
    "tool",
    {"name": "tool", "part": "interface and code"},
    "conversation",
]
TALK = CONVERSATION
Row = dict[str, Any]
Place = tuple[str, str]  # a task, with what sets it apart, and a mode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--personas", type=Path, help="a jsonl file with the field persona")
    source.add_argument("--root", type=Path, help="a hub that has personas")
    parser.add_argument("--people", type=int, default=500, help="personas that are asked, at most")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--refusals", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(
        f"{given.people} personas at most, {', '.join(given.modes)}, refusals {given.refusals:.0%}, seed {given.seed}; {machine()}"
    )
    simulated = {"median": 0.02, "seed": given.seed, "fault_rate": given.refusals, "faults": ("refusal",)}
    with tempfile.TemporaryDirectory() as folder, mockserver.start(port=0, **simulated) as server:
        exit_with(_trial(given, Path(folder), server))


def _trial(given: argparse.Namespace, folder: Path, server: mockserver.Running) -> list[str]:
    root, broken = folder / "hub", []
    values = {
        "synthesis.tasks": json.dumps(TASKS),
        "synthesis.max_personas": given.people,
        "synthesis.few_shot.file": EXAMPLES,
        "synthesis.few_shot.n": SHOWN,
    }
    arguments = settings(root, server, 64, **values)
    if given.root:
        shutil.copytree(given.root, root)
    else:
        file = given.personas or write_personas(folder / "personas.jsonl", given.people, given.seed)
        personahub("import", "personas", file, *arguments)
    for mode in given.modes:
        command = ["run", "dedup", "synthesize", "--yes", *arguments, "--set", f"synthesis.mode={mode}"]
        before = server.stats()["requests"]
        personahub(*command)
        requests = server.stats()["requests"]
        personahub(*command)
        more = server.stats()["requests"] - requests
        print(f"{mode}: {requests - before} requests; a second run: {more}", flush=True)
        if more:
            broken.append(f"{mode}: a second run made {more} requests")
    if twice := server.stats()["bought_twice"]:
        broken.append(f"{twice} answers were bought twice")
    configs = {mode: load(overrides=[*arguments[1::2], f"synthesis.mode={mode}"]) for mode in given.modes}
    return broken + _judge(root, configs, server.base_url)


def _judge(root: Path, configs: dict[str, Config], base_url: str) -> list[str]:
    """What is broken in the tables, of what this endpoint answered. Prints a line for each task and mode."""
    columns = ["completion_id", "prompt_name", "prompt_version", "final", "base_url"]
    ledger = [row for row in rows_of(root, "completions", columns) if row["final"] and row["base_url"] == base_url]
    examples, rejects = (rows_of(root, table) for table in ("examples", "rejects"))
    config, places = next(iter(configs.values())), _places(configs)
    versions = {row["completion_id"]: (row["prompt_name"], row["prompt_version"]) for row in ledger}
    asked = {name: (places[version], 1) for name, version in versions.items() if version in places}
    turns, talks = versions.keys() - asked.keys(), dict[str, str]()  # by each of its turns, the first one of a conversation
    people = {row["persona_id"]: row["persona"] for row in rows_of(root, "personas")}
    for row in [row for row in examples if row["task"] == FIRST_TURN]:
        talk = _talk(row["completion_id"], people[row["persona_id"]], turns, config)
        if len(talk) > 1:
            asked[TALK + talk[0]] = (TALK, row["mode"]), len(talk) - 1
            talks |= dict.fromkeys(talk, talk[0])
    ends: dict[str, list[Row]] = {}
    for row in [*examples, *rejects]:
        name = row[
            "completion_id"
        ]  # of a conversation that was refused: the turn before; of one refused at once: an accepted first turn
        of_talk = name in talks and row.get("task", TALK) == TALK
        ends.setdefault(TALK + talks[name] if of_talk else name, []).append(row)
    _print_table(asked, ends)
    several = Counter(len(ends.get(name, [])) for name in asked)
    broken = [f"{count} answers became {number} rows" for number, count in several.items() if number != 1]
    if sum(calls for place, calls in asked.values() if place[0] == TALK) != len(turns):
        broken.append("there are turns of no conversation, or of two")
    ours = [row for name in asked for row in ends.get(name, [])]
    if nameless := sum(not row["reason"] for row in ours if "reason" in row):
        broken.append(f"{nameless} rejects have no reason")
    return broken + _not_as_asked([row for row in ours if "task" in row], config)


def _places(configs: dict[str, Config]) -> dict[tuple[str, str], Place]:
    """By the names and versions of their prompts."""
    found = {}
    for mode, config in configs.items():
        for key, task in choose(config).items():
            apart = "" if key == task.name else ": " + ", ".join(map(str, task.settings.values()))
            found[key, task.prompts[mode].version] = task.name + apart, mode
    return found


def _talk(first: str, persona: str, turns: Collection[str], config: Config) -> list[str]:
    """The completion ids of a conversation: its first turn, and whatever was asked after it."""
    talk = [first]
    for number in range(conversation.passes(config)):
        ((name, prompt),) = conversation.prompts_of(number).items()
        identity = {"turn_ids": talk} | ({"persona": persona} if name == conversation.USER else {})
        completion_id = prompt.completion_ids(config.models[conversation.model_of(config, number)])
        asked = completion_id(ids.canonical_json(identity), number)
        if asked not in turns:
            break
        talk = [*talk, asked]
    return talk


def _not_as_asked(examples: list[Row], config: Config) -> list[str]:
    valid = {task.name: fastjsonschema.compile(task.schema) for task in choose(config).values()}
    broken: Counter[str] = Counter()
    for row in examples:
        content = json.loads(row["content"])
        try:
            if row["task"] == TALK:
                _check_talk(content["messages"])
            else:
                valid[row["task"]](content)
        except (fastjsonschema.JsonSchemaException, ValueError) as error:
            broken[f"{row['task']}: {error}"] += 1
    return [f"{count} examples of {problem}" for problem, count in broken.items()]


def _check_talk(messages: list[dict[str, str]]) -> None:
    if [message["role"] for message in messages] != ["user", "assistant"] * (len(messages) // 2) or not messages:
        raise ValueError("the roles do not take turns, or the assistant does not end it")
    if not all(message["content"].strip() for message in messages):
        raise ValueError("a turn is blank")


def _print_table(asked: dict[str, tuple[Place, int]], ends: dict[str, list[Row]]) -> None:
    calls, accepted = Counter[Place](), Counter[Place]()
    reasons: dict[Place, Counter[str]] = {}
    for name, (place, made) in asked.items():
        calls[place] += made
        for row in ends.get(name, []):
            if "reason" in row:
                reasons.setdefault(place, Counter())[row["reason"]] += 1
            else:
                accepted[place] += 1
    print(f"{'task':28} {'mode':18} {'calls':>6} {'accepted':>8} {'rejected':>8}  reasons")
    for place in sorted(calls, key=lambda place: (place[0], MODES.index(place[1]))):
        refused = reasons.get(place, Counter())
        told = ", ".join(f"{reason} {count}" for reason, count in refused.most_common())
        print(f"{place[0]:28} {place[1]:18} {calls[place]:6} {accepted[place]:8} {refused.total():8}  {told}")


if __name__ == "__main__":
    main()
