"""Worlds in which solvers are right, and wrong together, with known probabilities."""

import random
from collections import Counter

import pytest

from personahub.verification.agreement import precision_of_agreed


def world(seed, problems=400, third_where_two_differ=True):
    """Patterns as `votes.pattern` gives them, and the true share of right ones among the agreed answers."""
    rng = random.Random(seed)
    skills, popular = [rng.uniform(0.55, 0.95) for _ in range(3)], rng.uniform(0, 0.6)
    seen, right, agreed = Counter(), 0, 0
    for _ in range(problems):
        said = [
            "right" if rng.random() < p else "popular" if rng.random() < popular else f"own {at}" for at, p in enumerate(skills)
        ]
        if third_where_two_differ and said[0] == said[1]:
            said = said[:2]
        blocks = {}
        for at, answer in enumerate(said):
            blocks.setdefault(answer, []).append(str(at))
        seen["|".join(map(",".join, blocks.values()))] += 1
        answer, block = max(blocks.items(), key=lambda one: len(one[1]))
        agreed, right = agreed + (len(block) > 1), right + (len(block) > 1 and answer == "right")
    return seen, right / agreed


@pytest.mark.slow
def test_the_interval_covers_the_true_precision():
    covered, widths, errors = 0, [], []
    for seed in range(100):
        seen, true = world(seed)
        found = precision_of_agreed(seen)
        covered += found.low <= true <= found.high
        widths.append(found.high - found.low)
        errors.append(found.estimate - true)
    assert covered >= 93
    assert sum(widths) / 100 < 0.2
    assert abs(sum(errors) / 100) < 0.03


def test_where_all_three_answer_all_problems_more_is_known():
    full, some = (precision_of_agreed(world(7, third_where_two_differ=partly)[0]) for partly in (False, True))
    assert full.high - full.low < some.high - some.low


def test_the_same_seed_gives_the_same_interval():
    seen, _ = world(3)
    assert precision_of_agreed(seen) == precision_of_agreed(seen)
    assert precision_of_agreed(seen, seed=2) != precision_of_agreed(seen)


def test_where_nobody_agrees_nothing_is_estimated():
    assert precision_of_agreed({"0|1|2": 9, "": 4}) is None


def test_a_solver_without_an_answer_tells_nothing():
    seen, _ = world(3)
    assert precision_of_agreed(seen + Counter({"": 50})) == precision_of_agreed(seen)
