"""What a response shows beside its answer. No I/O."""

import pytest

from personahub.llm import facts


def body(message, **usage):
    return {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage or None}


TELLS = {"prompt_tokens": 20, "completion_tokens": 90}


@pytest.mark.parametrize(
    ("got", "schema", "shown"),
    [
        (body({"content": "hi"}), False, {"usage": "not told", "cached_tokens": "not told", "thinking": "no"}),
        (body({"content": "hi"}, **TELLS), False, {"usage": "told", "cached_tokens": "not told", "thinking": "no"}),
        (
            body({"content": "hi"}, **TELLS, prompt_tokens_details={"cached_tokens": 0}),
            True,
            {"usage": "told", "cached_tokens": "told", "thinking_under_schema": "no"},
        ),
        (
            body({"content": "hi"}, **TELLS, completion_tokens_details={"reasoning_tokens": 64}),
            False,
            {"usage": "told", "cached_tokens": "not told", "thinking": "64 tokens"},
        ),
        (
            body({"content": "hi", "reasoning_content": "so " * 40}, **TELLS),
            False,
            {"usage": "told", "cached_tokens": "not told", "thinking": "about 30 tokens in reasoning_content"},
        ),
        (
            body({"content": "<think>" + "so " * 31 + "</think>hi"}, **TELLS),
            False,
            {"usage": "told", "cached_tokens": "not told", "thinking": "about 25 tokens in the answer"},
        ),
        (
            body({"content": None, "reasoning_content": '{"a": 1}'}, **TELLS),
            True,
            {"usage": "told", "cached_tokens": "not told", "answers_in": "reasoning_content"},
        ),
        ({"error": "no"}, False, {}),
        ("<html>", False, {}),
    ],
)
def test_what_a_response_shows(got, schema, shown):
    assert facts.of_body(got, schema=schema) == shown


def test_limits_that_headers_tell():
    headers = {"X-RateLimit-Remaining-Requests": "59", "x-ratelimit-reset-requests": "1s", "date": "now"}
    assert facts.of_headers(headers) == {"rate_limits": '{"x-ratelimit-remaining-requests":"59"}'}
    assert facts.of_headers({}) == {"rate_limits": "not told"}
