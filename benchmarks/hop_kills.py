"""Kill -9 of a run of six hops at random moments, again and again, until it is done; beside it a run that nobody kills.

    python benchmarks/hop_kills.py [--kills 20] [--people 500] [--hops 6] [--places 32] [--duplicates 0.65] [--seed 1]

Some kills fall where answers are read back, deduplicated, or the next frontier is frozen. How it is judged: kill_trial.py.
"""

import kill_trial

TABLES = ("requests", "completions", "personas", "lineage", "duplicates", "rejects", "lexical_index", "tombstones")


def main() -> None:
    parser = kill_trial.parser(__doc__, kills=20)
    parser.add_argument("--hops", type=int, default=6)
    parser.add_argument("--duplicates", type=float, default=0.65)
    given = parser.parse_args()
    keys = {"persona_to_persona.hops": given.hops}
    kill_trial.run(given, "persona-to-persona", f"{given.hops} hops", keys, TABLES, duplicates=given.duplicates)


if __name__ == "__main__":
    main()
