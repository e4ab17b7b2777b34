"""What a server says in place of an answer, in the form that each kind of server gives to it.

The forms are those of public reports; docs/endpoints.md names these. The sentences are our own, but for the few words that clients
must recognise.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Problem:
    """Why a request gets no answer, before a server's form is given to it. `more`: what stands beside these in the error."""

    status: int
    message: str
    code: str | None = None
    type: str = "simulated"
    param: str | None = None
    retry_after: int | None = None  # seconds
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """An error as it goes over the wire: JSON of `body`."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


Form = Callable[
    [Problem, float], Reply
]  # the number, in 0..1 and of the request alone, chooses where servers differ from time to time


def plain(problem: Problem, draw: float) -> Reply:
    error = {"message": problem.message, "type": problem.type, "param": problem.param, "code": problem.code} | problem.more
    return Reply(problem.status, {"error": error}, _retry_after(problem))


def openai(problem: Problem, draw: float) -> Reply:
    kind = {400: "invalid_request_error", 401: "invalid_request_error", 429: "requests"}.get(problem.status, "server_error")
    error = {"message": problem.message, "type": kind, "param": problem.param, "code": problem.code} | problem.more
    headers = _retry_after(problem)
    if problem.retry_after is not None:
        headers["retry-after-ms"] = str(1000 * problem.retry_after)
    return Reply(problem.status, {"error": error}, headers)


def azure(problem: Problem, draw: float) -> Reply:
    """The gateway's own errors have the status as their code; those of the model are OpenAI's."""
    if problem.status in (401, 404, 429):
        code = problem.code if problem.code == "insufficient_quota" else str(problem.status)
        return Reply(problem.status, {"error": {"code": code, "message": problem.message}}, _retry_after(problem))
    return plain(replace(problem, type="invalid_request_error"), draw)


def vllm(problem: Problem, draw: float) -> Reply:
    kind = "BadRequestError" if problem.status == 400 else "InternalServerError"
    error = {"message": problem.message, "type": kind, "param": problem.param, "code": problem.status}
    return Reply(problem.status, {"error": error})


def sglang(problem: Problem, draw: float) -> Reply:
    kind = "BadRequest" if problem.status == 400 else "InternalServerError"
    return Reply(
        problem.status,
        {"object": "error", "message": problem.message, "type": kind, "param": problem.param, "code": problem.status},
    )


def llamacpp(problem: Problem, draw: float) -> Reply:
    kind = {400: "invalid_request_error", 401: "authentication_error", 503: "unavailable_error"}.get(
        problem.status, "server_error"
    )
    return Reply(problem.status, {"error": {"code": problem.status, "message": problem.message, "type": kind}})


def ollama(problem: Problem, draw: float) -> Reply:
    kind = "invalid_request_error" if problem.status == 400 else "api_error"
    return Reply(problem.status, {"error": {"message": problem.message, "type": kind, "param": None, "code": None}})


def openrouter(problem: Problem, draw: float) -> Reply:
    """What a provider behind it says comes with status 200, and beside it choices that are null, or one without content."""
    if problem.status == 401 or problem.code == "insufficient_quota":
        status = 402 if problem.status == 429 else problem.status
        return Reply(status, {"error": {"message": problem.message, "code": status}, "user_id": "simulated"})
    raw = {"raw": problem.message, "provider_name": "Simulated"}
    error = {"message": "Provider returned error", "code": problem.status, "metadata": raw}
    if problem.status in (400, 422):
        return Reply(problem.status, {"error": error, "user_id": "simulated"})
    message = {"role": "assistant", "content": None}
    body: dict[str, Any] = {"id": "gen-simulated", "object": "chat.completion", "error": error, "choices": None}
    if draw < 0.5:
        body["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
        body["usage"] = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    return Reply(200, body)


_GEMINI = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
_RPC = "type.googleapis.com/google.rpc."


def gemini(problem: Problem, draw: float) -> Reply:
    """An array around the error, and the time to wait within it: no header tells that."""
    status = problem.status
    details: list[dict[str, Any]] = []
    if problem.code == "invalid_api_key":
        status, details = 400, [{"@type": f"{_RPC}ErrorInfo", "reason": "API_KEY_INVALID"}]
    if problem.retry_after is not None and status == 429:
        details.append({"@type": f"{_RPC}RetryInfo", "retryDelay": f"{problem.retry_after}s"})
    if problem.param:
        details.append({"@type": f"{_RPC}BadRequest", "fieldViolations": [{"field": problem.param}]})
    message = "API key not valid. (simulated)" if problem.code == "invalid_api_key" else problem.message
    error = {"code": status, "message": message, "status": _GEMINI.get(status, "INTERNAL")}
    return Reply(status, [{"error": error | ({"details": details} if details else {})}])


def mistral(problem: Problem, draw: float) -> Reply:
    if problem.status == 401:
        return Reply(401, {"detail": "Unauthorized"})
    kind = {429: "rate_limited", 422: "invalid_request_error", 400: "invalid_request_error"}.get(problem.status, "internal_error")
    body = {"object": "error", "message": problem.message, "type": kind, "param": None, "code": None}
    return Reply(problem.status, body | problem.more, _retry_after(problem))


def deepseek(problem: Problem, draw: float) -> Reply:
    status = 402 if problem.code == "insufficient_quota" else problem.status
    kind = {400: "invalid_request_error", 401: "authentication_error", 402: "unknown_error"}.get(status, "server_error")
    code = "invalid_request_error" if status in (400, 401, 402) else problem.code
    message = "Insufficient Balance" if status == 402 else problem.message
    return Reply(status, {"error": {"message": message, "type": kind, "param": None, "code": code}})


def litellm(problem: Problem, draw: float) -> Reply:
    """The error of the server behind it as a string in the message; the code is the status, as a string."""
    kind = {
        400: "BadRequestError",
        401: "AuthenticationError",
        408: "Timeout",
        429: "RateLimitError",
        503: "ServiceUnavailableError",
    }
    name = kind.get(problem.status, "InternalServerError")
    message = f"litellm.{name}: OpenAIException - {problem.message}. Received Model Group=simulated"
    error = {"message": message, "type": "throttling_error" if problem.status == 429 else None, "param": problem.param}
    return Reply(problem.status, {"error": error | {"code": str(problem.status)}}, _retry_after(problem))


def _retry_after(problem: Problem) -> dict[str, str]:
    return {} if problem.retry_after is None else {"Retry-After": str(problem.retry_after)}
