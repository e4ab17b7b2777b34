"""What a response means: one Attempt for each body and each error an endpoint can send. Pure functions, no I/O."""

import json
import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from personahub.errors import ErrorKind
from personahub.llm import json_answers
from personahub.llm.types import Attempt

_KINDS = {
    402: ErrorKind.QUOTA,
    401: ErrorKind.AUTHENTICATION,
    403: ErrorKind.FORBIDDEN,
    404: ErrorKind.NOT_FOUND,
    405: ErrorKind.NOT_FOUND,
    408: ErrorKind.TIMEOUT,
    409: ErrorKind.SERVER,
    429: ErrorKind.RATE_LIMIT,
    503: ErrorKind.OVERLOADED,
    529: ErrorKind.OVERLOADED,
}
# a code is more exact than the status: the first match wins. Only codes, letters and digits of them, are looked at: a message may
# repeat the text that was sent
_CODES = (
    (
        re.compile(
            "insufficientquota|billing(hardlimit|notactive|disabled|error)|exceededcurrentquota"
            "|insufficient(account)?(balance|credits?|funds)|paymentrequired|creditbalancetoolow|arrearage"
        ),
        ErrorKind.QUOTA,
    ),
    (
        re.compile("contentfilter|contentpolicy|responsibleaipolicy|datainspectionfailed|moderationblocked|prohibitedcontent"),
        ErrorKind.CONTENT_FILTER,
    ),
    (re.compile("invalidapikey|apikeyinvalid|incorrectapikey|authenticationerror|unauthenticated"), ErrorKind.AUTHENTICATION),
    (re.compile("modelnotfound|deploymentnotfound"), ErrorKind.NOT_FOUND),
)
_OF_THE_KEY = re.compile("key|auth|permission|account")  # in the codes of a 403
# the beginning of a message that comes with no code of its own
_BEGINNINGS = (("api key not valid", ErrorKind.AUTHENTICATION), ("incorrect api key provided", ErrorKind.AUTHENTICATION))
_CODE = re.compile(r"[\w.:/-]{1,100}")  # one word: what has blanks is a message
_CUT = {"length", "max_tokens", "model_length", "max_length", "max_output_tokens", "max_new_tokens", "token_limit"}
_FILTERED = {"content_filter", "safety", "recitation", "prohibited_content", "blocklist"}
_BROKEN_OFF = {"error", "abort"}


def judge(body: Any, schema: Mapping[str, Any] | None) -> Attempt:
    """The Attempt that a 200 with this body is. `body`: parsed JSON, or the text where it is no JSON."""
    if isinstance(body, str):
        return Attempt(ErrorKind.MALFORMED, message=f"the response is not JSON: {_line(body)}")
    body = _unwrapped(body)
    if not isinstance(body, Mapping):
        return Attempt(ErrorKind.MALFORMED, message=f"the response is a JSON {type(body).__name__}, not a chat completion")
    tokens = _tokens(body)
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if isinstance(choice, Mapping) and choice.get("error"):
        return error_inside(choice["error"], **tokens)
    if body.get("error") and not (isinstance(message, Mapping) and (_text(message.get("content")) or "").strip()):
        return error_inside(body["error"], **tokens)
    if choice is None:
        return Attempt(ErrorKind.MALFORMED, message=f"the response has no choices: {_line(body)}", **tokens)
    if not isinstance(message, Mapping):
        return Attempt(ErrorKind.MALFORMED, message=f"the choice has no message: {_line(choice)}", **tokens)
    reason = choice.get("finish_reason")
    return _judge_message(message, reason if isinstance(reason, str) else None, schema, tokens)


def _judge_message(
    message: Mapping[str, Any], reason: str | None, schema: Mapping[str, Any] | None, tokens: dict[str, Any]
) -> Attempt:
    text = _text(message.get("content"))
    common: dict[str, Any] = {"text": text, "finish_reason": reason, **tokens}
    refusal = message.get("refusal")
    ended = reason.lower() if reason else None  # gateways pass MAX_TOKENS on
    if isinstance(refusal, str) and refusal.strip():
        return Attempt(ErrorKind.REFUSED, message=f"the model declined: {_line(refusal)}", **(common | {"text": text or refusal}))
    if ended in _FILTERED:
        return Attempt(ErrorKind.CONTENT_FILTER, message="the provider's content filter stopped the answer", **common)
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
    return Attempt(None if read.reason is None else ErrorKind(read.reason), message=read.detail, **common)


_THOUGHTS = ("reasoning_content", "reasoning")


def _misplaced(message: Mapping[str, Any], why_not: json_answers.WhyNot) -> str | None:
    """The answer where the content is empty: servers file it under reasoning, or as the arguments of a tool call.

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


def judge_error(status: int, body: Any, headers: Mapping[str, str]) -> Attempt:
    """The Attempt that a response with an error status is. `body`: parsed JSON if it was that, the text, or None."""
    body = _unwrapped(body)
    error = body["error"] if isinstance(body, Mapping) and body.get("error") else body
    code, said = _words(error)
    message = f"HTTP {status}{f' {code}' if code else ''}: {_line(said) if said else 'no message'}"
    if 300 <= status < 400:
        message += "; base_url points to a redirect: use its target"
    kind = _kind(status, error)
    failed = error.get("failed_generation") if kind is ErrorKind.INVALID else None
    waits = retry_after(headers)
    return Attempt(
        kind,
        text=failed if isinstance(failed, str) and failed else None,
        message=message,
        retry_after=_retry_delay(error) if waits is None else waits,
        withheld=kind is ErrorKind.INVALID,
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from Retry-After-Ms, or Retry-After as a number or an HTTP date. None where neither can be read."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) / unit
        except ValueError:
            try:
                seconds = parsedate_to_datetime(value).timestamp() - time.time()
            except (ValueError, TypeError, OverflowError):
                continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None


def _retry_delay(error: Any) -> float | None:
    """Seconds of a "retryDelay": "17s" among the details of an error."""
    for detail in _details(error):
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and re.fullmatch(r"\d{1,6}(\.\d+)?s", delay):
            return float(delay[:-1])
    return None


def _kind(status: int, error: Any) -> ErrorKind:
    codes, said = _codes(error), _words(error)[1].lstrip().lower()
    if status in (400, 422) and isinstance(error, Mapping) and ("failed_generation" in error or "jsonvalidatefailed" in codes):
        return ErrorKind.INVALID  # the endpoint holds the answer against the schema, and the model failed
    if status == 429:  # it may speak of plans and billing, and passes all the same
        if said.startswith("invalid json payload"):
            return ErrorKind.BAD_REQUEST
        return ErrorKind.QUOTA if _CODES[0][0].search(codes) else ErrorKind.RATE_LIMIT
    if status < 500 and (kind := _by_code(codes, said)) is not None:
        return kind
    if status == 403 and _OF_THE_KEY.search(codes):
        return ErrorKind.AUTHENTICATION
    if 300 <= status < 400:
        return ErrorKind.NOT_FOUND
    return _KINDS.get(status, ErrorKind.SERVER if status >= 500 else ErrorKind.BAD_REQUEST)


def _by_code(codes: str, said: str) -> ErrorKind | None:
    for pattern, kind in _CODES:
        if pattern.search(codes):
            return kind
    return next((kind for beginning, kind in _BEGINNINGS if said.startswith(beginning)), None)


def error_inside(error: Any, **tokens: Any) -> Attempt:
    """An error that came with status 200: its code may be a status, or words that name it."""
    code, said = _words(error)
    number = error.get("code", error.get("status")) if isinstance(error, Mapping) else None
    status = int(number) if isinstance(number, int | str) and re.fullmatch(r"[45]\d\d", str(number)) else None
    kind = (_by_code(_codes(error), said.lower()) or ErrorKind.MALFORMED) if status is None else _kind(status, error)
    return Attempt(kind, message=f"an error inside a 200: {code} {_line(said)}", retry_after=_retry_delay(error), **tokens)


def _unwrapped(body: Any) -> Any:
    """An error in a list of its own: [{"error": {...}}]."""
    alone = body[0] if isinstance(body, list) and len(body) == 1 else None
    return alone if isinstance(alone, Mapping) and alone.get("error") else body


def _words(error: Any) -> tuple[str, str]:
    """Code (and type), and what an error says, for people.

    Servers send {"error": {...}}, {"error": "..."}, {"message": ...} and {"detail": ...}; a gateway adds what its provider said.
    """
    if not isinstance(error, Mapping):
        return "", "" if error is None else str(error)
    codes = [error.get("code"), error.get("type"), _part(error, "innererror").get("code")]
    said, raw = error.get("message") or error.get("detail") or error, _part(error, "metadata").get("raw")
    said = said if isinstance(said, str) else str(said)
    return " ".join(str(code) for code in codes if code), f"{said}: {raw}" if raw and said is not error else said


def _codes(error: Any) -> str:
    """Everything in an error that is a code, letters and digits only, in lower case."""
    if not isinstance(error, Mapping):
        found = [error]
    else:
        found = [error.get("code"), error.get("type"), error.get("status"), _part(error, "innererror").get("code")]
        found += [detail.get("reason") for detail in _details(error)]
    codes = (code for code in found if isinstance(code, str) and _CODE.fullmatch(code))
    return " ".join(re.sub(r"[\W_]", "", code).lower() for code in codes)


def _part(error: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = error.get(name)
    return part if isinstance(part, Mapping) else {}


def _details(error: Any) -> list[Mapping[str, Any]]:
    details = error.get("details") if isinstance(error, Mapping) else None
    return [detail for detail in details if isinstance(detail, Mapping)] if isinstance(details, list) else []


def _text(content: Any) -> str | None:
    """Text as such, or in a list of parts."""
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
        return "".join(part for part in parts if isinstance(part, str)) or None
    return content if isinstance(content, str) else None


def _tokens(body: Mapping[str, Any]) -> dict[str, Any]:
    """Of prompt and answer. What only the total tells was thought, at the price of an answer."""
    prompt, completion = billed(body, "prompt_tokens"), billed(body, "completion_tokens")
    return {"prompt_tokens": prompt, "completion_tokens": max(completion, billed(body, "total_tokens") - prompt)}


def billed(body: Mapping[str, Any], name: str) -> int:
    """The count `name` of the body's usage; 0 where it says none."""
    usage = body.get("usage")
    value = usage.get(name) if isinstance(usage, Mapping) else None
    return int(value) if isinstance(value, int | float) and math.isfinite(value) and value > 0 else 0


def _line(value: Any) -> str:
    """On one line. Not cut here: the caller first scrubs what must not be shown."""
    return " ".join(str(value).split())
