"""Each error that an endpoint can send, and the kind it is."""

import time
from email.utils import formatdate

import pytest

from personahub.errors import ErrorKind
from personahub.llm import error_responses, responses
from personahub.llm.tracked_calls import TrackedCall
from personahub.llm.types import ChatCall


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"message": "bad"}, ErrorKind.BAD_REQUEST),
        (400, {"code": "content_filter", "message": "no"}, ErrorKind.PROMPT_FILTERED),
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
        (403, {"code": "content_policy_violation"}, ErrorKind.PROMPT_FILTERED),
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
        (400, {"code": "BadRequest", "innererror": {"code": "ResponsibleAIPolicyViolation"}}, ErrorKind.PROMPT_FILTERED),
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
        attempt = error_responses.judge_error(status, sent, {})
        assert attempt.kind is kind
        assert attempt.message.startswith(f"HTTP {status}")


def test_an_answer_that_the_endpoint_found_invalid_is_asked_for_again():
    error = {"message": "Failed to generate JSON.", "type": "invalid_request_error", "failed_generation": '{"personas": [{'}
    attempt = error_responses.judge_error(400, {"error": error}, {})
    assert (attempt.kind, attempt.text) == (ErrorKind.INVALID, '{"personas": [{')
    row = TrackedCall(ChatCall("c", "s", 0, "p", "1", [{"role": "user", "content": "hi"}]))
    row.correct(attempt)
    assert row.messages is None  # the same request once more


def test_an_error_says_how_long_to_wait_among_its_details():
    body = [{"error": {"code": 429, "details": [{"@type": "QuotaFailure"}, {"retryDelay": "17s"}]}}]
    assert error_responses.judge_error(429, body, {}).retry_after == 17.0
    assert error_responses.judge_error(429, body, {"retry-after": "3"}).retry_after == 3.0
    assert responses.judge(body[0], None).retry_after == 17.0


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
    assert error_responses.retry_after(headers) == seconds


def test_retry_after_as_a_date_is_the_time_until_then():
    assert error_responses.retry_after({"retry-after": formatdate(time.time() + 40, usegmt=True)}) == pytest.approx(40, abs=2)


@pytest.mark.parametrize(
    ("status", "body", "named"),
    [
        (400, {"error": {"message": "no", "param": "max_tokens", "code": "unsupported_parameter"}}, ("max_tokens",)),
        (400, {"error": {"message": "no", "param": "temperature", "code": "unsupported_value"}}, ("temperature",)),
        (400, {"error": {"message": "too large", "param": "max_tokens", "code": "invalid_value"}}, ()),
        (400, {"error": {"message": "no", "param": "response_format", "code": None}}, ("response_format",)),
        (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"]}]}, ("seed",)),
        (422, {"message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"]}]}}, ("seed",)),
        (422, {"message": '{"detail": [{"type": "extra_forbidden", "loc": ["body", "user"]}]}'}, ("user",)),
        (422, {"message": [{"type": "extra_forbidden", "loc": ["body", "messages", 0, "name"]}]}, ()),
        (400, {"error": {"message": "unsupported_parameter: max_tokens"}}, ()),  # words may be echoed
        (500, {"error": {"message": "no", "param": "max_tokens", "code": "unsupported_parameter"}}, ()),
    ],
)
def test_parameters_that_a_refusal_names(status, body, named):
    assert error_responses.judge_error(status, body, {}).named == named


@pytest.mark.parametrize(
    ("status", "down"), [(500, False), (501, False), (502, True), (503, True), (504, True), (521, True), (529, False)]
)
def test_a_gateway_without_its_server_says_that_it_is_down(status, down):
    assert error_responses.judge_error(status, None, {}).down is down
