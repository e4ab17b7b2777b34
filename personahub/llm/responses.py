"""What a response means: one Attempt for each body and each error an endpoint can send. Pure functions, no I/O."""

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
    403: ErrorKind.AUTHENTICATION,
    404: ErrorKind.NOT_FOUND,
    405: ErrorKind.NOT_FOUND,
    408: ErrorKind.TIMEOUT,
    409: ErrorKind.SERVER,
    429: ErrorKind.RATE_LIMIT,
    503: ErrorKind.OVERLOADED,
    529: ErrorKind.OVERLOADED,
}
# what the error's own words say is more exact than its status: the first match wins
_CODES = (
    (re.compile(r"insufficient_quota|billing|insufficient_(balance|credits|funds)|payment_required"), ErrorKind.QUOTA),
    (re.compile(r"content_filter|content_policy|responsibleaipolicy"), ErrorKind.CONTENT_FILTER),
    (re.compile(r"invalid_api_key|api_key_invalid|api key not valid"), ErrorKind.AUTHENTICATION),
    (re.compile(r"model_not_found|deployment_?not_?found"), ErrorKind.NOT_FOUND),
)
_CUT = ("length", "max_tokens", "model_length")


def judge(body: Any, schema: Mapping[str, Any] | None) -> Attempt:
    """The Attempt that a 200 with this body is. `body`: parsed JSON, or the text where it is no JSON."""
    if isinstance(body, str):
        return Attempt(ErrorKind.MALFORMED, message=f"the response is not JSON: {_line(body)}")
    if not isinstance(body, Mapping):
        return Attempt(ErrorKind.MALFORMED, message=f"the response is a JSON {type(body).__name__}, not a chat completion")
    tokens: dict[str, Any] = {name: billed(body, name) for name in ("prompt_tokens", "completion_tokens")}
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices:
        if body.get("error"):
            return error_inside(body["error"], **tokens)
        return Attempt(ErrorKind.MALFORMED, message=f"the response has no choices: {_line(body)}", **tokens)
    choice = choices[0]
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if isinstance(choice, Mapping) and choice.get("error"):
        return error_inside(choice["error"], **tokens)
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
    if isinstance(refusal, str) and refusal.strip():
        return Attempt(ErrorKind.REFUSED, message=f"the model declined: {_line(refusal)}", **(common | {"text": text or refusal}))
    if reason == "content_filter":
        return Attempt(ErrorKind.CONTENT_FILTER, message="the provider's content filter stopped the answer", **common)
    if reason in _CUT:
        return Attempt(
            ErrorKind.TRUNCATED, message="the answer was cut at max_tokens (or the model's context): raise it", **common
        )
    if not text or not text.strip():
        thought = next((name for name in ("reasoning", "reasoning_content") if message.get(name)), None)
        why = f"the model gave no answer, only {thought}" if thought else "the model gave no text"
        return Attempt(ErrorKind.EMPTY, message=f"{why} (finish_reason {reason})", **common)
    wrong = json_answers.read(text, None, None, json_answers.check(schema)).detail if schema is not None else None
    return Attempt(ErrorKind.INVALID if wrong else None, message=wrong, **common)


def judge_error(status: int, body: Any, headers: Mapping[str, str]) -> Attempt:
    """The Attempt that a response with an error status is. `body`: parsed JSON if it was that, the text, or None."""
    error = body["error"] if isinstance(body, Mapping) and body.get("error") else body
    code, said = _words(error)
    message = f"HTTP {status}{f' {code}' if code else ''}: {_line(said) if said else 'no message'}"
    if 300 <= status < 400:
        message += "; base_url points to a redirect: use its target"
    return Attempt(_kind(status, f"{code} {said}".lower()), message=message, retry_after=retry_after(headers))


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


def _kind(status: int, words: str) -> ErrorKind:
    if status < 500:
        for pattern, kind in _CODES:
            if pattern.search(words):
                return kind
    if 300 <= status < 400:
        return ErrorKind.NOT_FOUND
    return _KINDS.get(status, ErrorKind.SERVER if status >= 500 else ErrorKind.BAD_REQUEST)


def error_inside(error: Any, **tokens: Any) -> Attempt:
    """An error that came with status 200: its code may be a status, or words that name it."""
    code, said = _words(error)
    number = error.get("code", error.get("status")) if isinstance(error, Mapping) else None
    status = int(number) if isinstance(number, int | str) and re.fullmatch(r"[45]\d\d", str(number)) else None
    words = f"{code} {said}".lower()
    by_words = next((kind for pattern, kind in _CODES if pattern.search(words)), ErrorKind.MALFORMED)
    kind = by_words if status is None else _kind(status, words)
    return Attempt(kind, message=f"an error inside a 200: {code} {_line(said)}", **tokens)


def _words(error: Any) -> tuple[str, str]:
    """Code (and type), and what an error says. Servers send {"error": {...}}, {"error": "..."}, {"message": ...} and {"detail": ...}."""
    if not isinstance(error, Mapping):
        return "", "" if error is None else str(error)
    inner = error.get("innererror")
    codes = [error.get("code"), error.get("type"), inner.get("code") if isinstance(inner, Mapping) else None]
    said = error.get("message") or error.get("detail") or error
    return " ".join(str(code) for code in codes if code), said if isinstance(said, str) else str(said)


def _text(content: Any) -> str | None:
    """Text as such, or in a list of parts."""
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
        return "".join(part for part in parts if isinstance(part, str)) or None
    return content if isinstance(content, str) else None


def billed(body: Mapping[str, Any], name: str) -> int:
    """The count `name` of the body's usage; 0 where it says none."""
    usage = body.get("usage")
    value = usage.get(name) if isinstance(usage, Mapping) else None
    return int(value) if isinstance(value, int | float) and math.isfinite(value) and value > 0 else 0


def _line(value: Any) -> str:
    """On one line. Not cut here: the caller first scrubs what must not be shown."""
    return " ".join(str(value).split())
