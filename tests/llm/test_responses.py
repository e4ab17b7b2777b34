"""Each shape of response that an endpoint can send, and the kind it is. The kinds that the mock server can send are in test_client."""

import json

import pytest

from personahub.errors import ErrorKind
from personahub.llm import http, json_answers, responses
from personahub.llm.types import UNTOLD, Usage

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
    assert (attempt.usage.prompt, attempt.usage.completion) == (10, 5)  # what was bad was billed as well
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
    assert attempt.usage == (Usage() if isinstance(response, dict) and "error" in response else UNTOLD)


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
def test_odd_usage_is_estimated_by_what_was_said(usage):
    attempt = responses.judge(body("An answer of some length.", usage=usage), None)
    assert (attempt.kind, attempt.usage.prompt, attempt.usage.estimated) == (None, 0, True)
    assert 5 < attempt.usage.completion < 40


def test_an_answer_that_breaks_its_schema_is_invalid_and_kept(persona_schema):
    attempt = responses.judge(body('{"personas": [{"relation": "read"}]}'), persona_schema)
    assert attempt.kind is ErrorKind.INVALID
    assert "persona" in attempt.message
    assert attempt.text == '{"personas": [{"relation": "read"}]}'
    assert responses.judge(body("no json"), persona_schema).kind is ErrorKind.INVALID
    good = 'Sure: {"personas": [{"relation": "read", "persona": "A nurse."}]}'
    assert responses.judge(body(good), persona_schema).kind is None


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
    assert (attempt.usage.prompt, attempt.usage.completion) == tokens


@pytest.mark.parametrize(
    ("text", "reason", "kind"),
    [
        ('{"a": "b",' + " \n" * 200, "length", ErrorKind.RUNAWAY_WHITESPACE),
        ('{"a": "b",' + " \n" * 200, "stop", ErrorKind.RUNAWAY_WHITESPACE),  # whatever it says
        ("\t" * 400, "length", ErrorKind.RUNAWAY_WHITESPACE),
        ('{"a": "b"}' + "\n" * 400, "length", None),  # whole before the blanks
        ('{"a": "b",' + " \n" * 40 + '"c": ', "length", ErrorKind.TRUNCATED),
    ],
)
def test_an_answer_that_runs_away_in_blanks_is_told_from_one_that_is_cut(text, reason, kind):
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
    got = {"choices": [{"message": {"content": text}, "finish_reason": reason}]}
    assert responses.judge(got, schema).kind is kind


@pytest.mark.parametrize(
    ("completion", "reasoning", "kind"),
    [(1, 0, ErrorKind.CONTEXT_CUT), (900, 0, ErrorKind.TRUNCATED), (900, 900, ErrorKind.TRUNCATED), (0, 0, ErrorKind.TRUNCATED)],
)
def test_no_text_at_all_before_the_limit_met_the_end_of_the_context(completion, reasoning, kind):
    told = {"prompt_tokens": 4095, "completion_tokens": completion, "completion_tokens_details": {"reasoning_tokens": reasoning}}
    got = {"choices": [{"message": {"content": ""}, "finish_reason": "length"}], "usage": told if completion else None}
    assert responses.judge(got, None).kind is kind
