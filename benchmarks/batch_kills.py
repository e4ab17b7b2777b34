"""Kill -9 of the whole run (driver, engine, workers) while it buys in batches, again and again, until all is answered.

    python benchmarks/batch_kills.py [--kills 20] [--calls 3000] [--size 300] [--batch-seconds 10]

The simulated Batch API ends every second batch in another way: expired, refused, without any file, its making told late or never.
Kills fall when a batch was just made (before its making is told, too), and at any moment from the start on. Judge: the server's own
count of sales. Exits 1 if a request was sold twice, one is not answered by exactly one final row, a committed answer is lost, the price
is not half, or one more run buys anything.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from common import command, exit_with, final_rows, machine, personahub, personas, rows_of, settings

from personahub import mockserver

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import killing

IN, OUT = 10.0, 40.0  # $ per million tokens
ENDS = ("completed", "late", "completed", "expired", "completed", "unheard", "late", "failed", "completed", "nothing", "unmade")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--size", type=int, default=300, help="requests in a batch")
    parser.add_argument("--batch-seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(f"{given.kills} kills over {given.calls} calls in batches of {given.size}, seed {given.seed}; {machine()}")
    draw = random.Random(given.seed)
    ends = tuple(draw.choice(ENDS) for _ in range(100))
    with (
        tempfile.TemporaryDirectory() as folder,
        mockserver.start(port=0, seed=given.seed, batch_seconds=given.batch_seconds, batch_ends=ends) as server,
    ):
        broken = _trial(given, draw, Path(folder), server)
    exit_with(broken)


def _trial(given: argparse.Namespace, draw: random.Random, folder: Path, server: mockserver.Running) -> list[str]:
    root, broken = folder / "hub", []
    model = {
        "models.default.response_format": "json_schema",
        "models.default.in_mtok_cost": IN,
        "models.default.out_mtok_cost": OUT,
        "models.default.batch": f"{{enabled: true, max_requests: {given.size}}}",
    }
    arguments = settings(root, server, **model)
    texts = folder / "personas.jsonl"
    # of one length: what the endpoint is probed with is as long as the longest request
    texts.write_text("".join(json.dumps({"persona": f"{text:.<150}"}) + "\n" for text in personas(given.calls, given.seed)))
    personahub("import", "personas", texts, *arguments)
    personahub("preview", "synthesize", "-n", "1", "--yes", *arguments)  # online, with the probes
    server.reset()
    buy = ["run", "synthesize", "--yes", *arguments]
    before: Counter[str] = Counter()
    kills = 0
    while kills < given.kills:
        if not _killed_run(buy, server, draw, given.batch_seconds):
            print(f"the run ended before kill {kills + 1}")
            break
        kills += 1
        committed = Counter(row["completion_id"] for row in final_rows(root))
        if lost := [name for name in before if name not in committed]:
            broken.append(f"kill {kills} lost {len(lost)} committed answers")
        before, stats = committed, server.stats()
        sales = f"{stats['batches']} batches made, {stats['sold']} requests sold, {stats['bought_twice']} twice"
        print(f"kill {kills:2}: {sales}; {len(committed)} answers in the ledger")
    personahub(*buy)
    return broken + _judge(root, server, given.calls, kills, buy)


def _killed_run(arguments: list[str], server: mockserver.Running, draw: random.Random, batch_seconds: float) -> bool:
    """Two of three kills fall up to half a second after one more batch was made, or when that takes too long; the others at any moment."""
    made, began = server.stats()["batches"], time.monotonic()
    more = draw.choice((1, 1, 2)) if draw.random() < 2 / 3 else None
    latest = draw.uniform(2, batch_seconds)
    run = subprocess.Popen(command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def reached() -> bool:
        if more is not None and server.stats()["batches"] - made >= more:
            time.sleep(draw.choice((0.0, draw.uniform(0, 0.5))))
            return True
        return time.monotonic() - began > (latest if more is None else 2 * batch_seconds)

    return killing.kill_when(run, reached)


def _judge(root: Path, server: mockserver.Running, calls: int, kills: int, arguments: list[str]) -> list[str]:
    """What is broken once all is answered: one of them by the preview, at the full price."""
    broken = []
    columns = ["completion_id", "final", "purpose", "cost_usd", "prompt_tokens", "completion_tokens"]
    rows = [row for row in rows_of(root, "completions", columns) if row["final"] and row["purpose"] == "examples"]
    stats, each = server.stats(), Counter(row["completion_id"] for row in rows)
    if set(each.values()) != {1} or len(each) != calls:
        broken.append(f"{len(each)} of {calls} calls are answered; rows per call {Counter(each.values())}")
    if stats["bought_twice"] or stats["sold"] != calls - 1:
        broken.append(f"{stats['sold']} requests were sold for {calls - 1} calls, {stats['bought_twice']} of them twice")
    online = [(row["prompt_tokens"] * IN + row["completion_tokens"] * OUT) / 1e6 for row in rows]
    at_half = sum(abs(row["cost_usd"] / price - 0.5) < 1e-9 for row, price in zip(rows, online, strict=True))
    if at_half != calls - 1:
        broken.append(f"{at_half} of {calls - 1} calls at half the price")
    sales = f"{stats['batches']} batches: {stats['sold']} sold, {stats['bought_twice']} twice"
    print(f"{kills} kills, {sales}; ${sum(row['cost_usd'] for row in rows):.4f}, online ${sum(online):.4f}")
    personahub(*arguments)
    after = server.stats()
    print(f"one more run: {after['sold'] - stats['sold']} sold, {after['batches'] - stats['batches']} batches")
    if after["sold"] != stats["sold"] or after["batches"] != stats["batches"]:
        broken.append("a run with nothing missing bought something")
    return broken


if __name__ == "__main__":
    main()
