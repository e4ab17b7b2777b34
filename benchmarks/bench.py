"""`make bench`: endpoint use, what a call costs, and the whole spine, in one table. About a quarter of an hour.

    python benchmarks/bench.py [--calls 12000] [--places 64] [--median 0.4] [--lengths 10000 100000] [--new 10000] [--ledger 1000000]
        [--documents 10000] [--base 1000] [--parts llm_stage,calls,spine] [--seed 1]

The endpoint is simulated; nothing here is a model's figure. Each part alone: llm_stage.py (--calls, --places, --median), calls.py
(--lengths, --new, --ledger), spine.py (--documents). --base: what is subtracted from the last two.
"""

import argparse

import calls
import llm_stage
import spine
from common import machine, print_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--calls", type=int, default=12_000)
    parser.add_argument("--places", type=int, default=64)
    parser.add_argument("--median", type=float, default=0.4)
    parser.add_argument("--lengths", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--new", type=int, default=10_000)
    parser.add_argument("--ledger", type=int, default=1_000_000)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--base", type=int, default=1_000)
    parser.add_argument("--parts", default="llm_stage,calls,spine")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(
        f"{given.calls:,} calls at {given.places} places; calls and documents at an endpoint that answers at once; seed {given.seed}; "
        f"{machine()}",
        flush=True,
    )
    parts = {
        "llm_stage": lambda: llm_stage.figures(given.calls, given.places, given.median, seed=given.seed),
        "calls": lambda: calls.figures(given.lengths, given.new, given.ledger, given.seed, given.base),
        "spine": lambda: spine.figures(given.documents, given.seed, given.base),
    }
    print_table([figure for name in given.parts.split(",") for figure in parts[name]()])


if __name__ == "__main__":
    main()
