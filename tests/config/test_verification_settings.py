import pytest

from personahub.config import load
from personahub.errors import ConfigError

A, B = "{model: default}", "{model: default, method: program}"


def test_nothing_is_solved_unless_solvers_are_named():
    assert load().verification.solvers == ()


def test_solvers_differ_in_their_model_or_method():
    solvers = load(overrides=[f"verification.solvers=[{A}, {B}]"]).verification.solvers
    assert [solver.method for solver in solvers] == ["direct", "program"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([f"verification.solvers=[{A}, {A}]"], "their agreement proves nothing"),
        ([f"verification.solvers=[{A}]"], "1 solvers can not agree 2 times"),
        ([f"verification.solvers=[{A}, {B}]", "verification.min_agree=3"], "name more solvers, or lower min_agree"),
        (["verification.solvers=[{model: default}, {model: nobody}]"], r"verification.solvers.1.model names 'nobody'"),
        (["verification.judge=nobody"], "verification.judge names 'nobody'"),
        (["verification.test_share=2"], "verification.test_share"),
    ],
)
def test_what_can_not_be(values, said):
    with pytest.raises(ConfigError, match=said):
        load(overrides=values)
