import json

import pytest

from personahub.errors import ErrorKind
from personahub.inference.batches.answers import Asked, attempt_of, read
from personahub.llm.types import ChatCall

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


def asked(*names, bad_answers=0):
    return {name: Asked(ChatCall(name, "source", 0, "prompt", "1", [], SCHEMA), 50, bad_answers) for name in names}


def line(name, text='{"a": "b"}', status=200, finish_reason="stop", body=None):
    message = {"message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
    answer = {"choices": [message], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
    return {"custom_id": name, "response": {"status_code": status, "body": body or answer}, "error": None}


def failed(name, status, code="x", message="no"):
    return line(name, status=status, body={"error": {"code": code, "message": message}})


def gone(name, code):
    return {"custom_id": name, "response": None, "error": {"code": code, "message": "the batch ended before"}}


def outcomes(lines, names, **more):
    found = read(lines, asked(*names, **more), served=False, answer_tokens=99, at=5.0)
    return {one.call.completion_id: (one.final, one.kind, one.text) for one in found.outcomes}


def test_an_answer_is_final_and_has_its_tokens():
    (one,) = read([line("x")], asked("x", "y"), served=False, answer_tokens=99, at=5.0).outcomes
    assert (one.final, one.kind, json.loads(one.text), one.created_at, one.attempts) == (True, None, {"a": "b"}, 5.0, 1)
    assert (one.usage.prompt, one.usage.completion) == (7, 3)


def test_tokens_that_are_not_told_are_estimated_as_online():
    bare = line("x")
    del bare["response"]["body"]["usage"]
    (one,) = read([bare], asked("x"), served=False, answer_tokens=99, at=5.0).outcomes
    assert (one.usage.prompt, one.usage.estimated) == (25, True)
    assert 0 < one.usage.completion < 99
    (lost,) = read([line("x", body="<html>")], asked("x"), served=False, answer_tokens=99, at=5.0).outcomes
    assert (lost.final, lost.usage.prompt, lost.usage.completion) == (False, 25, 99)


def test_what_was_never_asked_leads_to_no_row():
    codes = ("batch_expired", "batch_cancelled")
    assert outcomes([gone(code, code) for code in codes], codes) == {}
    assert attempt_of(gone("x", "server_error"), None).kind is ErrorKind.MALFORMED


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_fails_in_passing_is_asked_again(status):
    ((final, kind, _),) = outcomes([failed("x", status)], ["x"]).values()
    assert not final
    assert kind is not None


def test_the_second_answer_of_no_use_is_final():
    for text, kind in (("{}", ErrorKind.INVALID), ("", ErrorKind.EMPTY)):
        for before, final in ((0, False), (1, True)):
            assert outcomes([line("x", text)], ["x"], bad_answers=before)["x"][:2] == (final, kind)


def test_a_filtered_request_is_final_at_once():
    found = outcomes([failed("x", 400, "content_filter"), line("y", None, finish_reason="content_filter")], ["x", "y"])
    assert {final for final, *_ in found.values()} == {True}


def test_a_refusal_is_a_verdict_where_the_endpoint_answers_others():
    refused = failed("x", 400, message="too long")
    assert outcomes([refused, line("y")], ["x", "y"])["x"][:2] == (True, ErrorKind.BAD_REQUEST)
    alone = read([refused], asked("x"), served=False, answer_tokens=99, at=5.0)
    assert not alone.outcomes[0].final
    assert "too long" in alone.refusal
    assert read([refused], asked("x"), served=True, answer_tokens=99, at=5.0).outcomes[0].final


def test_a_refused_parameter_is_no_verdict_on_a_text():
    named = failed("x", 400, "unsupported_parameter", "seed is not supported")
    named["response"]["body"]["error"]["param"] = "seed"
    assert outcomes([named, line("y")], ["x", "y"])["x"][:2] == (False, ErrorKind.UNSUPPORTED)
    assert "seed" in read([named], asked("x"), served=False, answer_tokens=99, at=5.0).refusal


def test_what_no_request_can_overcome_is_told():
    found = read([failed("x", 429, "insufficient_quota"), line("y")], asked("x", "y"), served=False, answer_tokens=99, at=5.0)
    assert found.fatal.kind is ErrorKind.QUOTA
    assert {one.call.completion_id: one.final for one in found.outcomes} == {"x": False, "y": True}


def test_a_request_counts_once_however_often_it_is_told():
    other = line("x", '{"a": "another"}')
    found = read(
        [failed("x", 500), line("x"), other, line("nobody"), {"custom_id": None}],
        asked("x"),
        served=False,
        answer_tokens=99,
        at=5.0,
    )
    assert [(one.final, json.loads(one.text)) for one in found.outcomes] == [(True, {"a": "b"})]
    assert (found.repeated, found.unknown) == (2, 2)


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"response": None, "error": None},
        {"response": {"status_code": "200"}},
        {"response": []},
        {"response": {"status_code": 200}},
    ],
)
def test_a_line_without_sense_is_no_answer(odd):
    assert attempt_of({"custom_id": "x", **odd}, SCHEMA).kind is ErrorKind.MALFORMED


def test_too_many_failures_are_those_that_stop_a_purchase_online():
    def found(bad, good, status=500, code="x"):
        lines = [failed(f"bad{n}", status, code) for n in range(bad)] + [line(f"good{n}") for n in range(good)]
        return read(lines, asked(*(one["custom_id"] for one in lines)), served=False, answer_tokens=99, at=5.0)

    assert found(61, 39).too_many_failed(0.6)
    assert not found(60, 40).too_many_failed(0.6)
    assert not found(20, 0).too_many_failed(0.6)  # too few to tell
    assert not found(100, 0, status=429).too_many_failed(0.6)
    assert not found(100, 0, status=400, code="content_filter").too_many_failed(0.6)
    assert found(61, 39).kinds == {"server": 61}
