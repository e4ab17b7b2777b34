"""A real mock server in a child process; whatever a test starts ends with it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from personahub.llm import mock_server as server


@pytest.fixture
def mock_server() -> Iterator[Callable[..., server.Running]]:
    """`mock_server(median=0.0, ...)` starts one on a free port; keywords are fields of mock_server.Settings."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(server.start(**({"median": 0.0} | settings)))


@pytest.fixture(scope="module")
def quick_server() -> Iterator[server.Running]:
    """Answers at once and never fails."""
    with server.start(median=0.0) as running:
        yield running


@pytest.fixture
def persona_schema() -> dict[str, Any]:
    item = {
        "type": "object",
        "properties": {
            "relation": {"type": "string", "enum": ["read", "write", "like", "dislike"]},
            "persona": {"type": "string"},
        },
        "required": ["relation", "persona"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"personas": {"type": "array", "items": item}},
        "required": ["personas"],
        "additionalProperties": False,
    }
