"""How the mock server fails. FAULTS all pass on a retry; RARE_FAULTS strike only if they are asked for by name."""

from typing import Any

import orjson

FAULTS = ("429", "500", "503", "reset", "slow", "truncated", "garbage", "empty_choices", "null_content")
RARE_FAULTS = (
    "408",
    "529",
    "quota",
    "content_filter",
    "filtered",
    "refusal",
    "length",
    "blank",
    "reasoning",
    "error_200",
    "wrong_schema",
)

# before the model runs, so never billed: kind -> status, code, message
REFUSALS: dict[str, tuple[int, str, str]] = {
    "429": (429, "rate_limit_exceeded", "Rate limit reached. Try again in 1 s. (simulated)"),
    "500": (500, "server_error", "The server had an error. (simulated)"),
    "503": (503, "overloaded", "The engine is overloaded. (simulated)"),
    "529": (529, "overloaded_error", "Overloaded. (simulated)"),
    "408": (408, "timeout", "The request took too long. (simulated)"),
    "quota": (429, "insufficient_quota", "You exceeded your current quota, check your plan and billing details. (simulated)"),
    "content_filter": (400, "content_filter", "The prompt triggered the content management policy. (simulated)"),
}
OF_CONNECTIONS = ("reset", "slow", "truncated", "garbage", "error_200")  # no line of a batch meets them
WAITS = ("429", "503", "529")  # those that say Retry-After: 1
WITHOUT_USAGE = ("truncated", "garbage", "error_200")  # billed all the same


def spoil_answer(fault: str | None, answer: dict[str, Any]) -> None:
    """Faults that leave a whole JSON body, with its usage: what the model did is billed."""
    if "choices" not in answer:  # embeddings
        if fault == "empty_choices":
            answer["data"] = []
        elif fault == "null_content":
            answer["data"][0]["embedding"] = None
        elif fault == "wrong_schema":
            answer["data"].pop()
        return
    if fault == "empty_choices":
        answer["choices"] = []
        return
    choice = answer["choices"][0]
    message = choice["message"]
    if fault in ("null_content", "refusal", "length", "reasoning"):
        text, message["content"] = message["content"], None
        if fault == "refusal":
            message["refusal"] = "I can not help with that. (simulated)"
        elif fault == "reasoning":
            message["reasoning_content"] = f"Perhaps this, or rather not: {text}"  # a draft amid thoughts
        elif fault == "length":
            choice["finish_reason"] = "length"
    elif fault == "blank":
        message["content"] = " \n"
    elif fault == "filtered":
        message["content"], choice["finish_reason"] = "", "content_filter"
    elif fault == "wrong_schema":
        message["content"] = '{"unexpected": "the wrong shape"}'


def spoil_body(fault: str | None, content: bytes, digest: int) -> tuple[bytes, str]:
    """The body as it is sent, and its content type. Truncated is cut in half; garbage is an HTML page or no JSON at all."""
    if fault == "truncated":
        return content[: len(content) // 2], "application/json"
    if fault == "garbage" and digest % 2:
        return b"<html><body>Bad gateway (simulated)</body></html>", "text/html"
    if fault == "garbage":
        return b"\x00\xff not json at all (simulated)", "application/json"
    if fault == "error_200":
        return orjson.dumps({"error": {"message": "The upstream is overloaded. (simulated)", "code": 503}}), "application/json"
    return content, "application/json"
