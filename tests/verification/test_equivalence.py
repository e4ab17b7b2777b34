"""Answers that say the same, and those that do not."""

import itertools
import time

import pytest
from answer_notations import GROUPS, UNDECIDED
from hypothesis import given, settings
from hypothesis import strategies as st

from personahub.verification import equivalent, symbolic


def pairs():
    """(group, a, b, whether they say the same): all within a class, and the first three of each two classes."""
    for name, classes in GROUPS.items():
        for one in classes:
            yield from ((name, a, b, True) for a, b in itertools.combinations(one, 2))
        for one, other in itertools.combinations(classes, 2):
            yield from ((name, a, b, False) for a, b in itertools.product(one[:3], other[:3]))


def test_99_of_100_pairs_are_told_right_and_alike_both_ways():
    told = [(name, a, b, same, equivalent(a, b), equivalent(b, a)) for name, a, b, same in pairs()]
    assert len(told) >= 400
    assert [(a, b) for _, a, b, _, one, other in told if one != other] == []
    wrong = [(name, a, b, same, found) for name, a, b, same, found, _ in told if found.equal is not same]
    assert len(wrong) <= 0.01 * len(told), wrong


@pytest.mark.parametrize(("a", "b"), UNDECIDED)
def test_what_no_rule_can_tell_is_the_judges(a, b):
    assert equivalent(a, b).equal is None


@pytest.mark.parametrize(
    ("a", "b", "layer"),
    [
        ("yes", "no", "choice"),
        ("2 hours", "120 minutes", "quantity"),
        ("one half", "0.5", "number"),
        ("1,2,3", "3,2,1", "sequence"),
        ("3:4", "6:8", "ratio"),
        ("(1,2)", "1<x<2", "interval"),
        ("Alice", "Bob", "name"),
        (r"\sqrt{8}", r"2\sqrt{2}", "symbolic"),
        ("7", "7", "identical"),
        ("red", "crimson", "undecided"),
    ],
)
def test_the_layer_that_decided_is_named(a, b, layer):
    assert equivalent(a, b).layer == layer


def test_a_tower_of_powers_ends_in_time_and_the_next_comparison_works(monkeypatch):
    monkeypatch.setattr(symbolic, "SECONDS", 1.0)
    began = time.monotonic()
    assert equivalent(r"5^{5^{5^{5^5}}}", r"5^{5^{5^{5^4}}}").equal is None
    assert time.monotonic() - began < 10
    monkeypatch.setattr(symbolic, "SECONDS", 20.0)
    assert equivalent(r"\sqrt{8}", r"2\sqrt{2}").equal is True


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("0123456789.,:/%^$\\{}()[]<>=+-* abxyπ½°€kmh\n\x00"), max_size=25), st.text(max_size=25))
def test_any_two_texts_are_compared_without_an_error(a, b):
    found = equivalent(a, b)
    assert found == equivalent(b, a)
    assert equivalent(a, a).equal in (True, None)
    if len(a.strip()) > 0:
        assert found.layer


@pytest.mark.parametrize("odd", [None, 7, "x" * 100_000, "(" * 5_000, "^{" * 900, "9" * 1_999, "1e999999999"])
def test_what_is_no_short_answer_is_undecided_or_identical(odd):
    assert equivalent(odd, "7").equal in (None, False)
