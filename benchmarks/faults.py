"""Faults at 30 % of attempts: is every request answered or refused with its reason, and does the endpoint stay busy?

    python benchmarks/faults.py [--calls 12000] [--rate 0.3]

The same stage runs on the same simulated server without and with faults (429 with Retry-After, 500, 503, reset, slow, truncated, garbage,
empty choices, null content in equal parts). Exits 1 if a request has neither an answer nor a reason, if fewer than 99 % are answers, or
if the places were busy less than 0.9 of the time that they were without faults, from the first request to the last answer (util; judged
from 2,000 calls on). body, up to the last request's arrival, is printed beside it: util hangs on the one slowest answer as well.
"""

import argparse
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from common import Use, exit_with, final_rows, machine, personahub, settings, use, write_personas

from personahub import mockserver

JUDGED = 2_000  # calls from which on the use of the places is; of fewer, a slow answer is much


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=12000)
    parser.add_argument("--rate", type=float, default=0.3)
    parser.add_argument("--places", type=int, default=64)
    parser.add_argument("--median", type=float, default=0.4)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(f"{given.calls} calls, {given.places} places, median {given.median} s, seed {given.seed}; {machine()}")
    with tempfile.TemporaryDirectory() as folder:
        people = Path(folder) / "people"
        source = write_personas(Path(folder) / "personas.jsonl", given.calls, given.seed)
        personahub("import", "personas", source, "--set", f"root={people}")
        clean, _ = _trial(given, people, 0.0)
        faulty, reasons = _trial(given, people, given.rate)
    answers = reasons.get("answer", 0)
    print(f"{'faults':>8} {'requests':>9} {'span s':>8} {'util':>6} {'body':>6}")
    for rate, each in ((0.0, clean), (given.rate, faulty)):
        print(f"{rate:8.0%} {each.requests:9} {each.span:8.1f} {each.util:6.3f} {each.body:6.3f}")
    print(
        f"outcomes: {dict(reasons)}; of the fault-free run: body {faulty.body / clean.body:.3f}, util {faulty.util / clean.util:.3f}"
    )
    broken = [
        problem
        for problem, holds in (
            ("a request has neither an answer nor a reason", sum(reasons.values()) == given.calls),
            ("fewer than 99 % answers", answers >= 0.99 * given.calls),
            ("places busy less than 0.9 of the fault-free run", faulty.util >= 0.9 * clean.util or given.calls < JUDGED),
        )
        if not holds
    ]
    exit_with(broken)


def _trial(given: argparse.Namespace, people: Path, rate: float) -> tuple[Use, Counter[str]]:
    """people: a hub that has the personas."""
    server_settings = {"port": 0, "capacity": given.places, "median": given.median, "seed": given.seed, "fault_rate": rate}
    with tempfile.TemporaryDirectory() as folder, mockserver.start(**server_settings) as server:
        root = Path(shutil.copytree(people, Path(folder) / "hub"))
        personahub("run", "synthesize", "--yes", *settings(root, server, given.places))
        return use(server), Counter(row["error_kind"] or "answer" for row in final_rows(root))


if __name__ == "__main__":
    main()
