import pytest
import yaml

from personahub.strict_yaml import parse


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3", "x: {a: 1, 'a': 2}", "- [{1: a, 1: b}]"])
def test_a_key_that_stands_twice_is_an_error_that_names_both_places(text):
    with pytest.raises(yaml.YAMLError, match=r"(?s)a key stands twice.* line \d.* line \d"):
        parse(text)


def test_what_is_merged_may_be_overridden():
    assert parse("b: &b {x: 1}\nq: [[{z: &c {<<: *b, x: 2}}]]\nd:\n  <<: *c") == {
        "b": {"x": 1},
        "q": [[{"z": {"x": 2}}]],
        "d": {"x": 2},
    }
