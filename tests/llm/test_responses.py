"""Each shape of response that an endpoint can send, and the kind it is. The kinds that the mock server can send are in test_client."""

import time
from email.utils import formatdate

import pytest

from personahub.errors import ErrorKind
from personahub.llm import http, responses

USAGE = {"prompt_tokens": 10, "completion_tokens": 5}


def body(content="An answer.", finish="stop", usage=USAGE, **message):
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content} | message}
    return {"object": "chat.completion", "choices": [choice], "usage": usage}


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (body(), None),
        (body(finish="eos_token"), None),
        (body(finish=None), None),
        (body([{"type": "text", "text": "An "}, {"type": "text", "text": "answer."}]), None),
        (body(refusal=None), None),
        (body(None, "length"), ErrorKind.TRUNCATED),
        (body("An ans", "length"), ErrorKind.TRUNCATED),
        (body("An ans", "max_tokens"), ErrorKind.TRUNCATED),
        (body(None), ErrorKind.EMPTY),
        (body(" \n"), ErrorKind.EMPTY),
        (body([]), ErrorKind.EMPTY),
        (body(None, reasoning="I think"), ErrorKind.EMPTY),
        (body(None, "content_filter"), ErrorKind.CONTENT_FILTER),
        (body("An ans", "content_filter"), ErrorKind.CONTENT_FILTER),
        (body(None, refusal="No."), ErrorKind.REFUSED),
    ],
)
def test_a_choice_is_an_answer_or_says_why_not(response, kind):
    attempt = responses.judge(response, None)
    assert attempt.kind is kind
    assert (attempt.prompt_tokens, attempt.completion_tokens) == (10, 5)  # what was bad was billed as well
    assert (attempt.message is None) == (kind is None)


@pytest.mark.parametrize(
    "response",
    [
        *({"choices": None}, {"choices": []}, {"choices": ["x"]}, {"choices": [{}]}, {"choices": [{"message": None}]}, {}),
        *([], None, 5, "<html>Bad gateway</html>", "", '{"choices": [{"mess', {"error": "odd"}, {"error": {"message": "odd"}}),
    ],
)
def test_what_is_no_chat_completion_is_malformed(response):
    attempt = responses.judge(response, None)
    assert attempt.kind is ErrorKind.MALFORMED
    assert attempt.message


@pytest.mark.parametrize(
    ("sent", "content"),
    [
        (b'\xef\xbb\xbf{"content": "hi"}', "hi"),
        (b'{"content": "a \xff byte"}', "a \ufffd byte"),
        (b'{"content": "half \\ud83d"}', "half \ud83d"),
    ],
)
def test_a_body_that_is_nearly_json_is_read(sent, content):
    assert http._parsed(sent) == {"content": content}


def test_a_body_that_is_no_json_stays_text():
    assert http._parsed(b"<html>") == "<html>"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 429, "message": "slow down"}, ErrorKind.RATE_LIMIT),
        ({"code": "503", "message": "busy"}, ErrorKind.OVERLOADED),
        ({"code": "insufficient_quota", "message": "pay"}, ErrorKind.QUOTA),
        ({"code": "content_filter", "message": "no"}, ErrorKind.CONTENT_FILTER),
    ],
)
def test_an_error_inside_a_200_is_what_it_says(error, kind):
    assert responses.judge({"error": error}, None).kind is kind
    assert responses.judge({"choices": [{"error": error}]}, None).kind is kind


@pytest.mark.parametrize(
    "usage", [None, "x", {}, {"prompt_tokens": None}, {"prompt_tokens": "7"}, {"prompt_tokens": float("nan")}]
)
def test_odd_usage_counts_as_zero(usage):
    attempt = responses.judge(body(usage=usage), None)
    assert (attempt.kind, attempt.prompt_tokens) == (None, 0)


def test_an_answer_that_breaks_its_schema_is_invalid_and_kept(persona_schema):
    attempt = responses.judge(body('{"personas": [{"relation": "read"}]}'), persona_schema)
    assert attempt.kind is ErrorKind.INVALID
    assert "persona" in attempt.message
    assert attempt.text == '{"personas": [{"relation": "read"}]}'
    assert responses.judge(body("no json"), persona_schema).kind is ErrorKind.INVALID
    good = 'Sure: {"personas": [{"relation": "read", "persona": "A nurse."}]}'
    assert responses.judge(body(good), persona_schema).kind is None


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"message": "bad"}, ErrorKind.BAD_REQUEST),
        (400, {"code": "content_filter", "message": "no"}, ErrorKind.CONTENT_FILTER),
        (400, {"code": 400, "message": "API key not valid. Please pass a valid API key."}, ErrorKind.AUTHENTICATION),
        (401, {"code": "invalid_api_key", "message": "no"}, ErrorKind.AUTHENTICATION),
        (402, {"message": "Insufficient Balance"}, ErrorKind.QUOTA),
        (403, None, ErrorKind.AUTHENTICATION),
        (403, {"code": "content_policy_violation"}, ErrorKind.CONTENT_FILTER),
        (404, "model 'x' not found", ErrorKind.NOT_FOUND),
        (400, {"code": "model_not_found"}, ErrorKind.NOT_FOUND),
        (307, "", ErrorKind.NOT_FOUND),
        (408, None, ErrorKind.TIMEOUT),
        (409, None, ErrorKind.SERVER),
        (413, None, ErrorKind.BAD_REQUEST),
        (422, [{"loc": ["body"]}], ErrorKind.BAD_REQUEST),
        (429, {"code": "rate_limit_exceeded", "message": "You exceeded your current quota per minute"}, ErrorKind.RATE_LIMIT),
        (429, {"code": "insufficient_quota"}, ErrorKind.QUOTA),
        (429, {"type": "billing_hard_limit_reached"}, ErrorKind.QUOTA),
        (500, {"message": "insufficient_quota of patience"}, ErrorKind.SERVER),
        (502, "<html>", ErrorKind.SERVER),
        (503, None, ErrorKind.OVERLOADED),
        (529, None, ErrorKind.OVERLOADED),
        (599, None, ErrorKind.SERVER),
    ],
)
def test_error_statuses(status, error, kind):
    for sent in (error, {"error": error}):
        attempt = responses.judge_error(status, sent, {})
        assert attempt.kind is kind
        assert attempt.message.startswith(f"HTTP {status}")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "300"}, 300.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 99 Oct 2015"}, None),
    ],
)
def test_retry_after(headers, seconds):
    assert responses.retry_after(headers) == seconds


def test_retry_after_as_a_date_is_the_time_until_then():
    assert responses.retry_after({"retry-after": formatdate(time.time() + 40, usegmt=True)}) == pytest.approx(40, abs=2)
