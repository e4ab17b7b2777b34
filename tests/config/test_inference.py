"""The block `inference`."""

import pytest

from personahub.config import load


@pytest.mark.parametrize(("said", "meant"), [("on", "on"), ("off", "off"), ("'on'", "on"), ("auto", "auto")])
def test_a_bare_on_or_off_is_no_boolean(said, meant):
    assert load(overrides=[f"inference.journal={said}"]).inference.journal == meant
