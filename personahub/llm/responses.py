"""What the body of a 200 means: one Attempt for each that an endpoint can send. Pure functions, no I/O."""

import json
from collections.abc import Mapping
from typing import Any

from personahub.errors import ErrorKind
from personahub.llm import json_answers
from personahub.llm.error_responses import error_inside, one_line, unwrapped
from personahub.llm.types import UNTOLD, Attempt, Usage
from personahub.llm.usage import read_usage, read_usage_of_error

_CUT = {"length", "max_tokens", "model_length", "max_length", "max_output_tokens", "max_new_tokens", "token_limit"}
_FILTERED = {"content_filter", "safety", "recitation", "prohibited_content", "blocklist"}
_BROKEN_OFF = {"error", "abort"}
_TAIL, _BLANK = 200, 0.9  # characters at the end, and the share of blanks in them, of an answer that ran away
_FULL, _NO_ROOM = 512, 16  # tokens of a prompt that may fill a context, and of an answer that has no room in it
_THOUGHTS = ("reasoning_content", "reasoning")


def judge(body: Any, schema: Mapping[str, Any] | None) -> Attempt:
    """The Attempt that a 200 with this body is. `body`: parsed JSON, or the text where it is no JSON."""
    if isinstance(body, str):
        return Attempt(ErrorKind.MALFORMED, message=f"the response is not JSON: {one_line(body)}", usage=UNTOLD)
    body = unwrapped(body)
    if not isinstance(body, Mapping):
        what = f"the response is a JSON {type(body).__name__}, not a chat completion"
        return Attempt(ErrorKind.MALFORMED, message=what, usage=UNTOLD)
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if isinstance(choice, Mapping) and choice.get("error"):
        return error_inside(choice["error"], read_usage_of_error(body))
    if body.get("error") and not (isinstance(message, Mapping) and (_text(message.get("content")) or "").strip()):
        return error_inside(body["error"], read_usage_of_error(body))
    usage = read_usage(body, message)
    if choice is None:
        return Attempt(ErrorKind.MALFORMED, message=f"the response has no choices: {one_line(body)}", usage=usage)
    if not isinstance(message, Mapping):
        return Attempt(ErrorKind.MALFORMED, message=f"the choice has no message: {one_line(choice)}", usage=usage)
    reason = choice.get("finish_reason")
    return _judge_message(message, reason if isinstance(reason, str) else None, schema, usage)


def _judge_message(message: Mapping[str, Any], reason: str | None, schema: Mapping[str, Any] | None, usage: Usage) -> Attempt:
    text = _text(message.get("content"))
    common: dict[str, Any] = {"text": text, "finish_reason": reason, "usage": usage}
    refusal = message.get("refusal")
    ended = reason.lower() if reason else None  # gateways pass MAX_TOKENS on
    if isinstance(refusal, str) and refusal.strip():
        return Attempt(
            ErrorKind.REFUSED, message=f"the model declined: {one_line(refusal)}", **(common | {"text": text or refusal})
        )
    if ended in _FILTERED:
        return Attempt(ErrorKind.CONTENT_FILTER, message="the provider's content filter stopped the answer", **common)
    if ended in _CUT and text and _blank_tail(text):
        return _ran_away(text, schema, common)
    if ended in _CUT and not text and _no_room(usage):
        said = "the prompt left no room for an answer in the model's context, or was cut to it: raise that, or ask with shorter texts"
        return Attempt(ErrorKind.CONTEXT_CUT, message=said, **common)
    if ended in _CUT:
        return Attempt(
            ErrorKind.TRUNCATED, message="the answer was cut at max_tokens (or the model's context): raise it", **common
        )
    if ended in _BROKEN_OFF:
        return Attempt(ErrorKind.MALFORMED, message=f"the endpoint broke the answer off (finish_reason {reason})", **common)
    if not text or not text.strip():
        if schema is not None and (misplaced := _misplaced(message, json_answers.check(schema))) is not None:
            return Attempt(None, **(common | {"text": misplaced}))
        thought = next((name for name in _THOUGHTS if message.get(name)), None)
        why = f"the model gave no answer, only {thought}" if thought else "the model gave no text"
        return Attempt(ErrorKind.EMPTY, message=f"{why} (finish_reason {reason})", **common)
    if schema is None:
        return Attempt(None, **common)
    read = json_answers.read(text, None, None, json_answers.check(schema))
    if read.reason == ErrorKind.TRUNCATED.value and _blank_tail(text):
        return _ran_away(text, schema, common)
    return Attempt(None if read.reason is None else ErrorKind(read.reason), message=read.detail, **common)


def _no_room(usage: Usage) -> bool:
    """Whether an answer without a text was cut so early that it met the end of the context, and not max_tokens."""
    return not usage.estimated and usage.prompt >= _FULL and usage.completion <= _NO_ROOM


def _blank_tail(text: str) -> bool:
    """Whether a text ends in so many blanks that its end is no layout."""
    tail = text[-_TAIL:]
    return len(tail) == _TAIL and sum(map(str.isspace, tail)) > _BLANK * _TAIL


def _ran_away(text: str, schema: Mapping[str, Any] | None, common: dict[str, Any]) -> Attempt:
    """Blanks to the last token, which grammars allow between any two marks of JSON (vllm-project/vllm#38696, sgl-project/sglang#8250); an
    answer that is whole before them is an answer.
    """
    if schema is not None:
        try:
            if json_answers.check(schema)(json_answers.whole(text)) is None:
                return Attempt(None, **common)
        except json_answers.NoJson:
            pass
    return Attempt(
        ErrorKind.RUNAWAY_WHITESPACE,
        message="the answer ran on in blanks until it was cut, as constrained decoding lets some models do: set the model's "
        "response_format to json_object or none, or let its server allow no blanks (vLLM: disable_any_whitespace)",
        **common,
    )


def _misplaced(message: Mapping[str, Any], why_not: json_answers.WhyNot) -> str | None:
    """The answer where the content is empty: servers file it under reasoning (sgl-project/sglang#14821), or as arguments of a tool call.

    Only what satisfies the schema as a whole: a draft amid thoughts is none.
    """
    calls = message.get("tool_calls")
    call = calls[0] if isinstance(calls, list) and calls else None
    function = call.get("function") if isinstance(call, Mapping) else message.get("function_call")
    arguments = function.get("arguments") if isinstance(function, Mapping) else None
    for said in (*(message.get(name) for name in _THOUGHTS), arguments):
        text = json.dumps(said) if isinstance(said, dict) else _text(said)
        if not text:
            continue
        try:
            if why_not(json_answers.whole(text)) is None:
                return text
        except json_answers.NoJson:
            continue
    return None


def _text(content: Any) -> str | None:
    """Text as such, or in a list of parts."""
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
        return "".join(part for part in parts if isinstance(part, str)) or None
    return content if isinstance(content, str) else None
