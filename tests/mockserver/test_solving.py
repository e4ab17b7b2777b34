import random

from personahub import prompts
from personahub.mockserver import solving

PAGES = (
    "Ana plans a project on reeds. On the first day Ana finishes 10 pages, and on each later day 3 pages more than on the day before. \
How many pages does Ana finish in the first 4 days?"
)


def test_the_truth_follows_from_the_text():
    assert solving.truth(PAGES) == 10 + 13 + 16 + 19
    assert solving.truth("How far is the mill?") == solving.truth("How far is the mill?\n")


def test_solvers_are_right_as_often_as_they_say():
    direct, program = (prompts.load(f"solve_{method}").schema for method in ("direct", "program"))
    rng = random.Random(1)
    said = [int(solving.answer_to(direct, [PAGES], rng)["answer"].split()[0]) for _ in range(2000)]
    assert abs(said.count(58) / 2000 - solving.RIGHT) < 0.03
    assert abs(said.count(59) / 2000 - (1 - solving.RIGHT) * solving.POPULAR) < 0.015
    assert eval(solving.answer_to(program, [PAGES], rng)["program"].removeprefix("print")) > 0


def test_a_judge_compares_what_the_solvers_meant():
    schema = prompts.load("same_answer").schema
    assert solving.answer_to(schema, [PAGES, "58", "58 or so it must be"], random.Random(1))["same"]
    assert not solving.answer_to(schema, [PAGES, "58", "59 or so it must be"], random.Random(1))["same"]
    assert solving.answer_to({"properties": {"persona": {}}}, [PAGES], random.Random(1)) is None
