import pytest

from personahub.verification import Equivalence
from personahub.verification.votes import Vote, compare, judged, pattern, undecided_pairs, verdict


def cast(*answers):
    """Votes: a text is an answer, None none; `?` and `!` say that conditions are missing, or contradict each other."""
    conditions = {"?": "missing", "!": "contradictory"}
    return [
        Vote(f"direct/{at}", "direct", None if answer in conditions else answer, conditions.get(answer, "complete"))
        for at, answer in enumerate(answers)
    ]


def of(*answers, min_agree=2):
    votes = cast(*answers)
    return verdict(votes, min_agree, compare(votes))


@pytest.mark.parametrize(
    ("answers", "outcome", "answer", "agreed", "layer"),
    [
        (["12", "12"], "agreed", "12", (0, 1), "identical"),
        (["2 hours", "120 minutes"], "agreed", "2 hours", (0, 1), "quantity"),
        (["12", "13"], "disputed", None, (), None),
        (["12", "13", "12.0"], "agreed", "12", (0, 2), "number"),
        (["12", "13", "14"], "disputed", None, (), None),
        (["12", None], "unsolved", None, (), None),
        ([None, None, None], "unsolved", None, (), None),
        ([None, "7", "7"], "agreed", "7", (1, 2), "identical"),
        (["!", "!"], "contradictory", None, (0, 1), "conditions"),
        (["?", "!"], "invalid", None, (0, 1), "conditions"),
        (["?", "5"], "disputed", None, (), None),
        (["?", "5", "5"], "agreed", "5", (1, 2), "identical"),
        (["5", "5", "6", "6"], "disputed", None, (), None),
        (["1/2", "0.5", "50%"], "agreed", "1/2", (0, 1, 2), "number"),
    ],
)
def test_what_votes_come_to(answers, outcome, answer, agreed, layer):
    found = of(*answers)
    assert (found.outcome, found.answer, found.agreed) == (outcome, answer, agreed)
    assert found.layer == layer


def test_more_votes_can_be_asked_to_agree():
    assert of("5", "5", "6", min_agree=3).outcome == "disputed"
    assert of("5", "5", "5", min_agree=3).outcome == "agreed"


def test_a_judge_is_asked_only_where_it_matters_and_decides():
    assert undecided_pairs(of("12", "12", "twelve or so it must be")) == []
    assert undecided_pairs(of("12", "13")) == []
    votes = cast("the tall keeper", "the keeper who is tall", "13")
    compared = compare(votes)
    asked = undecided_pairs(verdict(votes, 2, compared))
    assert (0, 1) in asked
    agreed = verdict(votes, 2, judged(compared, dict.fromkeys(asked, False) | {(0, 1): True}))
    assert (agreed.outcome, agreed.agreed, agreed.layer) == ("agreed", (0, 1), "judge")
    assert verdict(votes, 2, judged(compared, dict.fromkeys(asked, False))).outcome == "disputed"


def test_an_answer_between_two_that_differ_decides_nothing():
    same = {("a", "b"): True, ("b", "c"): True, ("a", "c"): False}
    votes = cast("a", "b", "c")
    compared = compare(votes, lambda a, b: Equivalence(same[a, b], "number"))
    assert verdict(votes, 2, compared).outcome == "disputed"


@pytest.mark.parametrize(
    ("answers", "seen"),
    [
        (["5", "6", "5"], "0,2|1"),
        (["5", "5"], "0,1"),
        ([None, "6", "5"], "1|2"),
        (["?", None], ""),
        (["12 or so it must be", "12", "12"], "1,2"),
        (["12", "twelve or so it must be", "13"], "0|2"),
    ],
)
def test_who_said_the_same_as_whom(answers, seen):
    votes = cast(*answers)
    assert pattern(verdict(votes, 2, compare(votes)), votes) == seen
