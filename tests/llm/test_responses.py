"""Each shape of response that an endpoint can send, and the kind it is. The kinds that the mock server can send are in test_client."""

import json
import time
from email.utils import formatdate

import pytest

from personahub.errors import ErrorKind
from personahub.llm import http, json_answers, responses
from personahub.llm.tracked_calls import TrackedCall
from personahub.llm.types import ChatCall

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


@pytest.mark.parametrize("charset", ["iso-8859-1", "windows-1252", "utf-16", "utf-8", None])
def test_a_body_is_read_by_its_charset(charset):
    sent = json.dumps({"content": "née Müller"}, ensure_ascii=False).encode(charset or "utf-8")
    assert http._parsed(sent, charset) == {"content": "née Müller"}


@pytest.mark.parametrize("charset", ["utf-8", "no such", None, "iso-8859-1"])
def test_utf_8_is_believed_before_the_charset(charset):
    assert http._parsed('{"content": "née"}'.encode(), charset) == {"content": "née"}


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
        (403, None, ErrorKind.FORBIDDEN),
        (403, "<html>Sorry, you have been blocked</html>", ErrorKind.FORBIDDEN),
        (403, {"code": 403, "message": "Your input was flagged: how to forge an API key"}, ErrorKind.FORBIDDEN),
        (403, {"type": "permission_error", "message": "no"}, ErrorKind.AUTHENTICATION),
        (403, {"status": "PERMISSION_DENIED", "message": "no"}, ErrorKind.AUTHENTICATION),
        (403, {"code": "account_deactivated"}, ErrorKind.AUTHENTICATION),
        (403, {"code": 403, "details": [{"reason": "BILLING_DISABLED"}]}, ErrorKind.QUOTA),
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
        (429, {"type": "exceeded_current_quota_error"}, ErrorKind.QUOTA),
        (429, {"status": "RESOURCE_EXHAUSTED", "message": "check your plan and billing details"}, ErrorKind.RATE_LIMIT),
        (429, "billing: insufficient_quota, insufficient_balance", ErrorKind.RATE_LIMIT),
        (429, {"message": "Invalid JSON payload received. Unknown name"}, ErrorKind.BAD_REQUEST),
        (400, {"message": "no place for 'my invalid_api_key, insufficient_quota, content_filter'"}, ErrorKind.BAD_REQUEST),
        (400, {"code": "BadRequest", "innererror": {"code": "ResponsibleAIPolicyViolation"}}, ErrorKind.CONTENT_FILTER),
        (400, {"code": 400, "message": "no", "details": [{"reason": "API_KEY_INVALID"}]}, ErrorKind.AUTHENTICATION),
        (400, {"code": "json_validate_failed", "message": "no"}, ErrorKind.INVALID),
        (429, {"type": "billing_hard_limit_reached"}, ErrorKind.QUOTA),
        (500, {"message": "insufficient_quota of patience"}, ErrorKind.SERVER),
        (502, "<html>", ErrorKind.SERVER),
        (503, None, ErrorKind.OVERLOADED),
        (529, None, ErrorKind.OVERLOADED),
        (599, None, ErrorKind.SERVER),
    ],
)
def test_error_statuses(status, error, kind):
    for sent in (error, {"error": error}, *([[{"error": error}]] if error else [])):
        attempt = responses.judge_error(status, sent, {})
        assert attempt.kind is kind
        assert attempt.message.startswith(f"HTTP {status}")


def test_an_answer_that_the_endpoint_found_invalid_is_asked_for_again():
    error = {"message": "Failed to generate JSON.", "type": "invalid_request_error", "failed_generation": '{"personas": [{'}
    attempt = responses.judge_error(400, {"error": error}, {})
    assert (attempt.kind, attempt.text) == (ErrorKind.INVALID, '{"personas": [{')
    row = TrackedCall(ChatCall("c", "s", 0, "p", "1", [{"role": "user", "content": "hi"}]))
    row.correct(attempt)
    assert row.messages is None  # the same request once more


def test_an_error_says_how_long_to_wait_among_its_details():
    body = [{"error": {"code": 429, "details": [{"@type": "QuotaFailure"}, {"retryDelay": "17s"}]}}]
    assert responses.judge_error(429, body, {}).retry_after == 17.0
    assert responses.judge_error(429, body, {"retry-after": "3"}).retry_after == 3.0
    assert responses.judge(body[0], None).retry_after == 17.0


def test_an_error_beside_a_choice_without_content_decides():
    error = {"code": 429, "message": "Provider returned error", "metadata": {"raw": "try later", "provider_name": "X"}}
    attempt = responses.judge(body(None) | {"error": error}, None)
    assert attempt.kind is ErrorKind.RATE_LIMIT
    assert "try later" in attempt.message
    assert responses.judge(body("An answer.") | {"error": error}, None).kind is None


GOOD = '{"personas": [{"relation": "read", "persona": "A nurse."}]}'


@pytest.mark.parametrize(
    "message",
    [
        {"reasoning_content": f" {GOOD}\n"},
        {"reasoning": f"```json\n{GOOD}\n```"},
        {"tool_calls": [{"type": "function", "function": {"name": "answer", "arguments": GOOD}}]},
        {"tool_calls": [{"function": {"arguments": json.loads(GOOD)}}]},
    ],
)
def test_a_whole_answer_in_another_field_is_the_answer(persona_schema, message):
    attempt = responses.judge(body(None, **message), persona_schema)
    assert attempt.kind is None
    assert json_answers.extract(attempt.text) == json.loads(GOOD)
    assert responses.judge(body(None, "length", **message), persona_schema).kind is ErrorKind.TRUNCATED
    assert responses.judge(body(None, **message), None).kind is ErrorKind.EMPTY


@pytest.mark.parametrize("thought", [f"Perhaps {GOOD}", GOOD[:-1], '{"personas": 1}', "5", {"odd": 1}, ["odd"]])
def test_thoughts_are_no_answer(persona_schema, thought):
    assert responses.judge(body(None, reasoning_content=thought), persona_schema).kind is ErrorKind.EMPTY


@pytest.mark.parametrize("reason", ["MAX_TOKENS", "Length", "max_output_tokens"])
def test_a_cut_answer_is_told_in_many_words(reason):
    assert responses.judge(body("An ans", reason), None).kind is ErrorKind.TRUNCATED


@pytest.mark.parametrize("reason", ["stop", None, "odd"])
def test_json_that_ends_in_the_middle_is_truncated_whatever_the_reason(persona_schema, reason):
    assert responses.judge(body(GOOD[:-2], reason), persona_schema).kind is ErrorKind.TRUNCATED


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 2120}, (100, 2020)),
        ({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}, (100, 20)),
        ({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 90}, (100, 20)),
        ({"prompt_tokens": 100, "completion_tokens": 20}, (100, 20)),
    ],
)
def test_what_only_the_total_tells_is_counted_as_answer(usage, tokens):
    attempt = responses.judge(body(usage=usage), None)
    assert (attempt.prompt_tokens, attempt.completion_tokens) == tokens


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
