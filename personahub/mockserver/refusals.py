"""Which requests a kind of server does not take: parameters, formats, schemas, texts. docs/endpoints.md names the public reports."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from personahub.mockserver.problems import Problem

Refuse = Callable[[dict[str, Any], float], Problem | None]  # the request's body, and a number in 0..1 that depends on it alone

_FORBIDDEN = re.compile(r"\bmassacre\b", re.IGNORECASE)  # stands for what a filter dislikes in a prompt
_MAX_REPEATS = 2000


def nothing(body: dict[str, Any], draw: float) -> Problem | None:
    return None


def schema_of(body: dict[str, Any]) -> dict[str, Any] | None:
    """That of response_format json_schema."""
    asked = body.get("response_format") or {}
    return (asked.get("json_schema") or {}).get("schema") if asked.get("type") == "json_schema" else None


def text_of(body: dict[str, Any]) -> str:
    return "\n".join(str(message.get("content") or "") for message in body["messages"])


def openai(body: dict[str, Any], draw: float) -> Problem | None:
    """A reasoning model: its own name for the limit of tokens, no sampling parameters, and schemas of the strict subset only."""
    if "max_tokens" in body:
        said = "'max_tokens' is not supported with this model: it takes 'max_completion_tokens'. (simulated)"
        return Problem(400, said, "unsupported_parameter", param="max_tokens")
    for name, default in (("temperature", 1), ("top_p", 1), ("presence_penalty", 0), ("frequency_penalty", 0)):
        if body.get(name, default) != default:
            said = f"'{name}' does not support {body[name]} with this model, only the default ({default}). (simulated)"
            return Problem(400, said, "unsupported_value", param=name)
    return _strict(schema_of(body))


def _strict(schema: Any) -> Problem | None:
    for part in _parts(schema):
        odd = sorted({"allOf", "oneOf", "not", "if"} & part.keys())
        if odd:
            why = f"'{odd[0]}' is not permitted"
        elif "properties" in part and part.get("additionalProperties") is not False:
            why = "'additionalProperties' is required to be supplied and to be false"
        elif set(part.get("properties") or {}) - set(part.get("required") or []):
            why = "'required' is required to include every key of properties"
        else:
            continue
        return Problem(400, f"Invalid schema for response_format: {why}. (simulated)", param="response_format")
    return None


def azure(body: dict[str, Any], draw: float) -> Problem | None:
    """The filter of prompts."""
    if not _FORBIDDEN.search(text_of(body)):
        return None
    judged = {"violence": {"filtered": True, "severity": "medium"}, "hate": {"filtered": False, "severity": "safe"}}
    more = {"status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": judged}}
    return Problem(400, "The prompt triggered the content policy. (simulated)", "content_filter", param="prompt", more=more)


def llamacpp(body: dict[str, Any], draw: float) -> Problem | None:
    """Repetitions of a grammar add up: each bound counts, and again for each item of the arrays that it stands in."""
    if _repeats(schema_of(body)) < _MAX_REPEATS:
        return None
    return Problem(400, "Failed to initialize samplers: failed to parse grammar (simulated)")


def _repeats(schema: Any) -> int:
    if isinstance(schema, list):
        return sum(_repeats(each) for each in schema)
    if not isinstance(schema, dict):
        return 0
    length, items = schema.get("maxLength"), schema.get("maxItems")
    within = sum(_repeats(value) for name, value in schema.items() if name != "enum")
    return (length if isinstance(length, int) else 0) + (items if isinstance(items, int) and items else 1) * within


def gemini(body: dict[str, Any], draw: float) -> Problem | None:
    """Unknown names, as it calls them; one in a schema comes as a 400 or a 429."""
    for name in ("frequency_penalty", "top_k", "logit_bias"):
        if name in body:
            return Problem(400, f'Invalid JSON payload received. Unknown name "{name}" (simulated)', param=name)
    for part in _parts(schema_of(body)):
        for name in ("additionalProperties", "minimum", "maximum", "$ref"):
            if name in part:
                said = f'Invalid JSON payload received. Unknown name "{name}" at the response schema (simulated)'
                return Problem(400 if draw < 0.5 else 429, said, param="generation_config.response_schema")
    return None


def mistral(body: dict[str, Any], draw: float) -> Problem | None:
    extra = [name for name in ("max_completion_tokens", "seed", "user", "frequency_penalty", "logit_bias") if name in body]
    if not extra:
        return None
    found = [{"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra input", "input": body[name]} for name in extra]
    return Problem(422, "", more={"message": {"detail": found}})


def deepseek(body: dict[str, Any], draw: float) -> Problem | None:
    kind = (body.get("response_format") or {}).get("type")
    if kind == "json_schema":
        return Problem(400, "This response_format type is unavailable. (simulated)", "invalid_request_error")
    if kind == "json_object" and "json" not in text_of(body).lower():
        return Problem(400, "The prompt must contain the word 'json' for a response_format of json_object. (simulated)")
    return None


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    """The schema and all schemas within it, at any depth."""
    if isinstance(schema, list):
        for each in schema:
            yield from _parts(each)
    elif isinstance(schema, dict):
        yield schema
        for name, value in schema.items():
            if name == "properties" and isinstance(value, dict):
                for inner in value.values():
                    yield from _parts(inner)
            elif isinstance(value, dict | list) and name not in ("enum", "required", "const"):
                yield from _parts(value)
