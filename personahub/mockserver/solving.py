"""Solvers that are right with a known probability: what the mock server answers to a problem, to a request for a program, and to a judge.

The truth follows from the problem's text alone, so that a test can know it.
"""

import random
import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

RIGHT = 0.85  # of all answers
POPULAR = 0.3  # of the wrong ones: they are the problem's popular wrong answer
WORDY = 0.1  # of direct answers: a sentence that no rule compares
_PAGES = re.compile(r"first day \w+ finishes (\d+) pages.*?day (\d+) pages.*?first (\d+) days", re.DOTALL)
_NUMBER = re.compile(r"\d+")
_KINDS = {"conditions": "direct", "program": "program", "same": "judge"}


def truth(problem: str) -> int:
    """The right answer to a problem; of one that the mock server did not write, a number that hangs on its text."""
    found = _PAGES.search(problem)
    if found:
        first, more, days = map(int, found.groups())
        return days * first + more * days * (days - 1) // 2
    return 10 + int.from_bytes(blake2b(problem.strip().encode(), digest_size=4).digest(), "big") % 90


def answer_to(schema: Mapping[str, Any], data: Sequence[str], rng: random.Random) -> dict[str, Any] | None:
    """An instance of the schema of a solver or of a judge; None for any other. data: the texts of the prompt, in their order."""
    kind = next((kind for field, kind in _KINDS.items() if field in (schema.get("properties") or {})), None)
    if kind is None or not data:
        return None
    if kind == "judge":
        first, second = (_NUMBER.findall(text)[:1] for text in data[-2:])
        return {"why": "simulated", "same": first == second}
    value = truth(data[-1])
    if rng.random() >= RIGHT:
        value += 1 if rng.random() < POPULAR else rng.randint(2, 500)
    if kind == "program":
        return {"program": f"print(sum([{value - 1}, 1]))"}
    said = f"{value} or so it must be" if rng.random() < WORDY else str(value)
    return {"reasoning": "simulated", "conditions": "complete", "answer": said}
