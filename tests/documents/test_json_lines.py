import json
import math
from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personahub.documents.json_lines import parse

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**200), 2**200) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_what_python_writes_is_read_as_it_was(record):
    assert parse(json.dumps(record).encode()) == record


@given(st.binary(max_size=60))
def test_bytes_are_an_object_or_refused_with_a_reason(line):
    with suppress(ValueError):
        assert isinstance(parse(line), dict)


def test_what_is_not_quite_json():
    assert math.isnan(parse(b'{"a": NaN}')["a"])
    assert parse(b'{"a": -Infinity}') == {"a": -math.inf}
    assert parse(rb'{"a\ud83d": "b\udc00"}') == {"a?": "b?"}
    assert parse(b'{"a": 340282366920938463463374607431768211455}') == {"a": 2**128 - 1}


@pytest.mark.parametrize(
    "line", [b"[1]", b"1", b'{"a": 1', b'{"a": nope}', b'{"a": "\xff"}', b"{" * 100_000, b'{"a": ' + b"[" * 100_000]
)
def test_anything_else_is_refused(line):
    with pytest.raises(ValueError, match=r"\w"):
        parse(line)


def test_deep_nesting_that_orjson_reads_is_read():
    line = b'{"a": ' + b"[" * 900 + b"]" * 900 + b"}"
    assert parse(line) == orjson.loads(line)
