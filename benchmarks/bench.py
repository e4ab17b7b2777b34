"""`make bench`: endpoint use, what a call costs, and the whole spine, in one table. About a quarter of an hour.

The endpoint is simulated; nothing here is a model's figure. Each part alone: llm_stage.py, calls.py, spine.py.
"""

import calls
import llm_stage
import spine
from common import machine, print_table


def main() -> None:
    print(f"12,000 calls at 64 places; calls and documents at an endpoint that answers at once; seed 1; {machine()}", flush=True)
    print_table([*llm_stage.figures(), *calls.figures([10_000, 100_000], new=10_000, ledger=1_000_000, seed=1), *spine.figures()])


if __name__ == "__main__":
    main()
