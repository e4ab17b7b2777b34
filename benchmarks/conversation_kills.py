"""Kill -9 of a run that makes conversations, at random moments, again and again, until it is done; beside it a run that nobody kills.

    python benchmarks/conversation_kills.py [--kills 10] [--people 500] [--turns 3] [--moderated] [--places 32] [--seed 1]

Each turn is a purchase of its own: some kills fall between two, where the answers are read back and what is asked next hangs on them.
--moderated: the simulated endpoint also judges first turns and conversations, and refuses about half. How it is judged: kill_trial.py.
"""

import kill_trial

TABLES = ("requests", "completions", "examples", "rejects")


def main() -> None:
    parser = kill_trial.parser(__doc__, kills=10)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--moderated", action="store_true")
    given = parser.parse_args()
    keys = {"synthesis.tasks": "[conversation]", "synthesis.conversation.turns": given.turns}
    if given.moderated:
        keys["synthesis.moderation_model"] = "default"
    kill_trial.run(given, "synthesize", f"conversations of {given.turns} turns", keys, TABLES)


if __name__ == "__main__":
    main()
