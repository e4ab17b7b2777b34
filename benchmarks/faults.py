"""Faults at 30 % of attempts: is every request answered or refused with its reason, and does the endpoint stay busy?

    python benchmarks/faults.py [--calls 12000] [--rate 0.3]
    python benchmarks/faults.py --like all --calls 3000 --median 0.05

The same stage runs on the same simulated server without and with faults (429 with Retry-After, 500, 503, reset, slow, truncated, garbage,
empty choices, null content in equal parts). Exits 1 if a request has neither an answer nor a reason, if fewer than 99 % are answers, or
if the places were busy less than 0.9 of the time that they were without faults, from the first request to the last answer (util; judged
from 2,000 calls on). body, up to the last request's arrival, is printed beside it: util hangs on the one slowest answer as well.

With --like the faults come on top of the manner of a kind of server, or of each in turn, and dollars are compared in place of places:
those of the ledger's rows whose tokens are known with the server's own count of what it told. Exits 1 if these are more than 1 % apart, if
the whole ledger holds less than the server billed, if something was bought twice, or for the first two reasons above.
"""

import argparse
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from common import Use, exit_with, final_rows, machine, personahub, rows_of, settings, use, write_personas

from personahub import mockserver
from personahub.mockserver.profiles import PROFILES

PRICES = {"in_mtok_cost": 2.0, "cached_in_mtok_cost": 0.5, "out_mtok_cost": 8.0}
JUDGED = 2_000  # calls from which on the use of the places is; of fewer, a slow answer is much


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=12000)
    parser.add_argument("--rate", type=float, default=0.3)
    parser.add_argument("--places", type=int, default=64)
    parser.add_argument("--median", type=float, default=0.4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--like", choices=[*PROFILES, "all"])
    given = parser.parse_args()
    print(f"{given.calls} calls, {given.places} places, median {given.median} s, seed {given.seed}; {machine()}")
    with tempfile.TemporaryDirectory() as folder:
        people = Path(folder) / "people"
        source = write_personas(Path(folder) / "personas.jsonl", given.calls, given.seed)
        personahub("import", "personas", source, "--set", f"root={people}")
        if given.like:
            exit_with(_kinds(given, people))
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


def _kinds(given: argparse.Namespace, people: Path) -> list[str]:
    """Prints a line for each kind of server. Returns what is broken."""
    broken, lines = [], []
    for kind in PROFILES if given.like == "all" else [given.like]:
        stats, rows = _run_like(given, people, kind)
        final = [row for row in rows if row["final"] and row["stage"] != "probe"]
        answers = sum(row["error_kind"] is None for row in final)
        known, told = sum(row["cost_usd"] for row in rows if not row["tokens_estimated"]), _usd(stats["told"])
        booked, billed = sum(row["cost_usd"] for row in rows), _usd(stats)
        apart = abs(known - told) / told if told else float(known > 0)
        lines.append(
            f"{kind:>10} {stats['requests']:9} {answers / given.calls:8.1%} {len(final) - answers:8} {stats['bought_twice']:6} "
            f"{known:9.4f} {told:9.4f} {apart:7.2%} {booked:9.4f} {billed:9.4f}"
        )
        goals = {
            "a request has neither an answer nor a reason": len(final) == given.calls,
            "fewer than 99 % answers": answers >= 0.99 * given.calls,
            "bought twice": not stats["bought_twice"],
            "dollars more than 1 % apart": apart <= 0.01,
            "less booked than billed": booked >= 0.99 * billed,
        }
        broken += [f"{kind}: {problem}" for problem, holds in goals.items() if not holds]
    heads = f"{'known $':>9} {'told $':>9} {'apart':>7} {'booked $':>9} {'billed $':>9}"
    print("\n".join([f"{'':>10} {'requests':>9} {'answers':>8} {'rejects':>8} {'twice':>6} {heads}", *lines]))
    return broken


def _run_like(given: argparse.Namespace, people: Path, kind: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The server's count, and the ledger."""
    server_settings = {"port": 0, "capacity": given.places, "median": given.median, "seed": given.seed, "fault_rate": given.rate}
    with tempfile.TemporaryDirectory() as folder, mockserver.start(like=kind, **server_settings) as server:
        root = Path(shutil.copytree(people, Path(folder) / "hub"))
        values = {"max_concurrent_requests": given.places, **PRICES}
        model = {f"models.default.{name}": value for name, value in values.items()}
        personahub("run", "synthesize", "--yes", *settings(root, server, **model))
        return server.stats(), rows_of(root, "completions", ["final", "stage", "error_kind", "cost_usd", "tokens_estimated"])


def _usd(tokens: dict[str, int]) -> float:
    parts = (tokens["prompt_tokens"] - tokens["cached_tokens"], tokens["cached_tokens"], tokens["completion_tokens"])
    return sum(count * price for count, price in zip(parts, PRICES.values(), strict=True)) / 1e6


if __name__ == "__main__":
    main()
