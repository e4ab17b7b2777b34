"""The probe against mock servers that honour this or that response_format."""

import asyncio

import pytest

from personahub.config import Model
from personahub.errors import ErrorKind
from personahub.llm.probe import probe


@pytest.mark.parametrize(
    ("served", "held", "tried"),
    [
        ("all", "json_schema", ["json_schema"]),
        ("json_object", "json_object", ["json_schema", "json_object"]),
        ("none", "none", ["json_schema", "json_object", "none"]),
        ("ignore", "json_object", ["json_schema", "json_schema", "json_object"]),  # an odd answer is asked for twice
    ],
)
def test_probe_finds_what_holds(mock_server, served, held, tried):
    running = mock_server(response_formats=served)
    found = asyncio.run(probe(Model(base_url=running.base_url), None))
    assert (found.value, found.kind) == (held, None)
    assert [call.prompt_name for call, _ in found.attempts] == [f"probe {each}" for each in tried]
    assert running.stats()["requests"] == len(tried)
    outcomes = found.outcomes()
    assert [outcome.call.prompt_name for outcome in outcomes if outcome.final] == [f"probe {held}"]
    assert sum(outcome.attempts for outcome in outcomes) == len(tried)
    assert len({outcome.call.completion_id for outcome in outcomes}) == len(outcomes)


def test_probe_tries_only_what_the_config_names(mock_server):
    running = mock_server(response_formats="json_object")
    found = asyncio.run(probe(Model(base_url=running.base_url, response_format="json_schema"), None))
    assert (found.value, found.kind) == (None, ErrorKind.BAD_REQUEST)
    assert "response_format" in found.message
    assert running.stats()["requests"] == 1


def test_probe_says_what_is_fatal(mock_server):
    found = asyncio.run(probe(Model(base_url=mock_server(key="right").base_url), "wrong"))
    assert (found.value, found.kind) == (None, ErrorKind.AUTHENTICATION)
    assert len(found.attempts) == 1
    found = asyncio.run(probe(Model(base_url=mock_server(fault_rate=1.0, faults=("quota",)).base_url), None))
    assert (found.value, found.kind) == (None, ErrorKind.QUOTA)


def test_probe_outlives_transient_failures(mock_server):
    passing = ("500", "reset", "truncated", "garbage", "empty_choices", "null_content")
    for seed in range(3):
        running = mock_server(fault_rate=0.4, faults=passing, seed=seed)
        assert asyncio.run(probe(Model(base_url=running.base_url), None)).value == "json_schema"


def test_probe_of_a_model_that_never_satisfies_a_schema_leaves_tolerant_parsing(mock_server):
    running = mock_server(fault_rate=1.0, faults=("wrong_schema",))
    found = asyncio.run(probe(Model(base_url=running.base_url), None))
    assert (found.value, found.kind) == ("none", ErrorKind.INVALID)
