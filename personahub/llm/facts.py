"""What a response shows of an endpoint's manners, beside the answer: facts for `endpoint_capabilities`. Pure functions, no I/O."""

import re
from collections.abc import Mapping
from typing import Any

from personahub.ids import canonical_json
from personahub.llm.usage import read_usage

USAGE, CACHED, RATE_LIMITS = "usage", "cached_tokens", "rate_limits"
THINKING, THINKING_UNDER_SCHEMA, MISPLACED = "thinking", "thinking_under_schema", "answers_in"
TOLD, NOT_TOLD, NO = "told", "not told", "no"
_LIMIT = re.compile(r"ratelimit-(?:limit|remaining)", re.IGNORECASE)
_OF_THE_CACHE = ("prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens")
_FIELDS = ("reasoning_content", "reasoning")
_CHARACTERS_PER_TOKEN = 4


def of_body(body: Any, *, schema: bool) -> dict[str, str]:
    """The body of a response -> capability -> value: whether it has a usage, with cached tokens, and whether the model thought. schema:
    was an answer by a schema asked for? A grammar may leave no room for thoughts (vllm-project/vllm#47027).

    Empty for what is no chat completion.
    """
    choices = body.get("choices") if isinstance(body, Mapping) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(message, Mapping):
        return {}
    told = body.get("usage") if not read_usage(body, message).estimated else None
    usage = told if isinstance(told, Mapping) else {}
    details = usage.get("prompt_tokens_details")
    cached = (isinstance(details, Mapping) and "cached_tokens" in details) or any(name in usage for name in _OF_THE_CACHE)
    thought_in = next((name for name in _FIELDS if message.get(name)), None)
    found = {USAGE: TOLD if usage else NOT_TOLD, CACHED: TOLD if cached else NOT_TOLD}
    if schema and thought_in and not message.get("content"):
        return found | {MISPLACED: thought_in}
    return found | {
        THINKING_UNDER_SCHEMA if schema else THINKING: _thought(message, thought_in, read_usage(body, message).reasoning)
    }


def of_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The limits that they tell, as a JSON object."""
    limits = {name.lower(): value for name, value in headers.items() if _LIMIT.search(name)}
    return {RATE_LIMITS: canonical_json(limits) if limits else NOT_TOLD}


def _thought(message: Mapping[str, Any], field: str | None, tokens: int) -> str:
    """How much, and where it stands."""
    text = message.get("content")
    if field is not None:
        where, size = f" in {field}", len(str(message[field]))
    elif isinstance(text, str) and (end := re.search(r"</think(?:ing)?>", text)):
        where, size = " in the answer", end.start()
    elif tokens:
        where, size = "", 0
    else:
        return NO
    return f"{tokens:,} tokens{where}" if tokens else f"about {max(1, size // _CHARACTERS_PER_TOKEN):,} tokens{where}"
