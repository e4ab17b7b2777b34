"""Bodies of servers that stream although they were told not to."""

import json

import pytest

from personahub.errors import ErrorKind
from personahub.llm import http, responses

USAGE = {"prompt_tokens": 10, "completion_tokens": 5}


def events(*chunks, end="data: [DONE]\n\n", before=""):
    return (before + "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + end).encode()


def chunk(reason=None, usage=None, **delta):
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}], "usage": usage}


@pytest.mark.parametrize("before", ["", ": keep-alive\n\n", "event: message\n"])
@pytest.mark.parametrize("last", [[chunk("stop", USAGE)], [chunk("stop"), {"choices": [], "usage": USAGE}]])
def test_the_deltas_of_a_stream_are_one_answer(before, last):
    sent = events(chunk(role="assistant", content=""), chunk(content="An "), chunk(content="answer."), *last, before=before)
    attempt = responses.judge(http._parsed(sent), None)
    assert (attempt.kind, attempt.text, attempt.finish_reason) == (None, "An answer.", "stop")
    assert (attempt.usage.prompt, attempt.usage.completion) == (10, 5)


def test_ends_of_lines_within_a_text_end_no_event():
    text = "one\u2028two\x85three"
    sent = "".join(f"data: {json.dumps(one, ensure_ascii=False)}\n\n" for one in (chunk(content=text), chunk("stop")))
    assert responses.judge(http._parsed(sent.encode()), None).text == text


def test_a_whole_response_may_be_an_event_or_stand_before_the_end_of_a_stream():
    body = {"choices": [{"index": 0, "message": {"content": "An answer."}, "finish_reason": "stop"}], "usage": USAGE}
    assert http._parsed(events(body)) == body
    assert http._parsed(json.dumps(body).encode() + b"\ndata: [DONE]\n\n") == body


def test_pieces_of_thoughts_and_of_a_tool_call_are_joined(persona_schema):
    good = '{"personas": []}'
    calls = (
        [{"index": 0, "function": {"name": "answer", "arguments": good[:5]}}],
        [{"index": 0, "function": {"arguments": good[5:]}}],
    )
    for pieces in ([{"reasoning_content": good[:5]}, {"reasoning_content": good[5:]}], [{"tool_calls": one} for one in calls]):
        attempt = responses.judge(http._parsed(events(*(chunk(**piece) for piece in pieces), chunk("stop"))), persona_schema)
        assert (attempt.kind, attempt.text) == (None, good)


def test_an_error_within_a_stream_is_that_error():
    sent = events(chunk(content="An ans"), {"error": {"code": 429, "message": "slow down"}})
    assert responses.judge(http._parsed(sent), None).kind is ErrorKind.RATE_LIMIT


@pytest.mark.parametrize(
    "sent", [events(chunk(content="An ans"), end=""), events(chunk(content="x"), end='data: {"cho'), b"data: x", b"{} {}"]
)
def test_a_stream_that_ends_early_is_no_answer(sent):
    assert responses.judge(http._parsed(sent), None).kind is ErrorKind.MALFORMED
