"""The probe against mock servers that honour this or that, and against endpoints that are odd as real ones are."""

import asyncio
import json

import pytest
from odd_endpoints import endpoint, good, mistral_refuses, openai_refuses, said

from personahub.config import Model
from personahub.errors import ErrorKind
from personahub.llm import dialects
from personahub.llm.dialects import from_capabilities
from personahub.llm.probe import probe


def closed(**properties):
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


COLOUR = closed(rainbow_colour={"type": "string"})
SIZE = closed(size={"type": "string", "maxLength": 4000})
ASKED = {"colour": COLOUR}


def ask(base_url, schemas=ASKED, key=None, **settings):
    model = Model(base_url=base_url, **settings)
    found = asyncio.run(probe(model, key, schemas))
    return found, from_capabilities(model, schemas, found.found)


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
    found, dialect = ask(running.base_url)
    assert (found.found[dialects.of_schema(COLOUR)], found.kind) == (held, None)
    assert dialect.format_of("colour") == held
    assert [call.prompt_name for call, _ in found.attempts] == [f"probe {each}" for each in tried]
    assert running.stats()["requests"] == len(tried)
    outcomes = found.outcomes()
    assert [outcome.call.prompt_name for outcome in outcomes if outcome.final] == [f"probe {held}"]
    assert sum(outcome.attempts for outcome in outcomes) == len(tried)
    assert len({outcome.call.completion_id for outcome in outcomes}) == len(outcomes)


def test_probe_tries_only_what_the_config_names(mock_server):
    running = mock_server(response_formats="json_object")
    found, _ = ask(running.base_url, response_format="json_schema")
    assert (found.found, found.kind) == ({}, ErrorKind.BAD_REQUEST)
    assert "response_format" in found.message
    assert running.stats()["requests"] == 1


def test_probe_says_what_is_fatal(mock_server):
    found, _ = ask(mock_server(key="right").base_url, key="wrong")
    assert (found.found, found.kind) == ({}, ErrorKind.AUTHENTICATION)
    assert len(found.attempts) == 1
    found, _ = ask(mock_server(fault_rate=1.0, faults=("quota",)).base_url)
    assert (found.found, found.kind) == ({}, ErrorKind.QUOTA)


def test_probe_outlives_transient_failures(mock_server):
    passing = ("500", "reset", "truncated", "garbage", "empty_choices", "null_content")
    for seed in range(3):
        running = mock_server(fault_rate=0.4, faults=passing, seed=seed)
        assert ask(running.base_url)[1].format_of("colour") == "json_schema"


def test_probe_of_a_model_that_never_satisfies_a_schema_leaves_tolerant_parsing(mock_server):
    running = mock_server(fault_rate=1.0, faults=("wrong_schema",))
    found, dialect = ask(running.base_url)
    assert (dialect.format_of("colour"), found.kind) == ("none", ErrorKind.INVALID)


@pytest.mark.parametrize(
    ("refuses", "sent", "requests"),
    [
        (openai_refuses("max_tokens", "temperature"), {"max_completion_tokens": 99, "seed": 7}, 3),
        (mistral_refuses("seed", "temperature"), {"max_tokens": 99, "random_seed": 7}, 2),
        (mistral_refuses("seed", "random_seed"), {"max_tokens": 99, "temperature": 0.5}, 3),
    ],
)
def test_parameters_that_are_refused_by_name_go_by_another_or_are_left_out(refuses, sent, requests):
    with endpoint(refuses) as (base_url, asked):
        params = {"max_tokens": 99, "temperature": 0.5, "seed": 7}
        found, dialect = ask(base_url, generation_params=params)
    assert len(asked) == requests
    assert found.kind is None
    assert dialect.params(params) == sent
    assert dialect.format_of("colour") == "json_schema"  # what was refused was no verdict on the format
    assert {note.partition(" is ")[0] for note in found.notes} == params.keys() - sent.keys()
    assert {name: value for name, value in asked[-1].items() if name in sent} == sent


def test_a_refusal_in_words_alone_is_understood_where_nobodys_text_is_echoed():
    def answer(body):
        if "frequency_penalty" in body:
            return 400, [{"error": {"code": 400, "message": 'Invalid JSON payload received. Unknown name "frequency_penalty"'}}]
        return good(body)

    with endpoint(answer) as (base_url, asked):
        _, dialect = ask(base_url, generation_params={"frequency_penalty": 1, "max_tokens": 99})
    assert (dialect.dropped, len(asked)) == (("frequency_penalty",), 2)


def test_an_endpoint_that_takes_max_tokens_under_no_name_is_no_use():
    with endpoint(openai_refuses("max_tokens", "max_completion_tokens")) as (base_url, _):
        found, _ = ask(base_url)
    assert (found.found, found.kind) == ({}, ErrorKind.BAD_REQUEST)
    assert "max_completion_tokens" in found.message


def test_each_schema_has_the_format_that_it_gets_through():
    def answer(body):
        if "maxLength" in json.dumps(body.get("response_format", {})):
            return 400, {"error": {"code": 400, "message": "Failed to parse grammar", "type": "invalid_request_error"}}
        return good(body)

    schemas = {"colour": COLOUR, "size": SIZE, "colour too": dict(COLOUR), "letter": None}
    with endpoint(answer) as (base_url, asked):
        found, dialect = ask(base_url, schemas)
    assert [dialect.format_of(name) for name in ("colour", "size", "colour too")] == ["json_schema", "json_object", "json_schema"]
    assert len(asked) == 4  # one schema under two names is asked once
    (note,) = found.notes
    assert note.startswith("answers of size are asked for with response_format json_object")
    assert "Failed to parse grammar" in note
    assert note.endswith("not every provider takes maxLength")


def test_an_answer_that_runs_away_in_blanks_is_asked_for_in_a_weaker_way():
    def answer(body):
        if body.get("response_format", {}).get("type") == "json_schema":
            return said('{"rainbow_colour": ' + "\n " * 300, "length")
        return good(body)

    with endpoint(answer) as (base_url, _):
        _, dialect = ask(base_url)
    assert dialect.format_of("colour") == "json_object"


def test_an_answer_that_is_always_cut_says_nothing_of_the_format():
    with endpoint(lambda body: said('{"rainbow_colour": "or', "length")) as (base_url, _):
        found, dialect = ask(base_url)
    assert (dialect.format_of("colour"), found.kind) == ("json_schema", ErrorKind.TRUNCATED)
