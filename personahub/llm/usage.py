"""What a response says that it was billed: the one place for the names that endpoints use. Pure functions, no I/O."""

import math
from collections.abc import Mapping
from typing import Any

from personahub.llm.types import Usage

_MOST = 10**12  # no request has more tokens: what is above is no count
_READ, _WRITTEN = "cache_read_input_tokens", "cache_creation_input_tokens"


def read_usage(body: Mapping[str, Any]) -> Usage:
    """The usage in the body of a response; 0 where it tells none.

    Prompt tokens hold those of the cache, under whatever name. A gateway may leave them beside instead: then they are more than the
    prompt's, or the total is the sum of all.
    """
    told = _part(body, "usage")
    details = _part(told, "prompt_tokens_details")
    completion, total = _count(told, "completion_tokens"), _count(told, "total_tokens")
    prompt = _count(told, "prompt_tokens") or max(0, total - completion)
    beside = _count(told, _READ) + _count(told, _WRITTEN)
    if beside > prompt or (beside and total == prompt + beside + completion):
        prompt += beside
    cached = _count(details, "cached_tokens") or _count(told, "prompt_cache_hit_tokens") or _count(told, _READ)
    cache_write = _count(details, "cache_write_tokens") or _count(told, _WRITTEN)
    # what only the total tells was thought, at the price of an answer
    whole = max(completion, total - prompt)
    reasoning = max(_count(_part(told, "completion_tokens_details"), "reasoning_tokens"), whole - completion)
    cached = min(cached, prompt)
    return Usage(prompt, cached, min(cache_write, prompt - cached), whole, min(reasoning, whole))


def read_usage_of_texts(body: Mapping[str, Any]) -> Usage:
    """The same of an answer with vectors, for which nothing is billed beside the texts."""
    return Usage(read_usage(body).prompt)


def _count(told: Mapping[str, Any], name: str) -> int:
    """A count of tokens; 0 where there is none."""
    value = told.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return 0
    return int(value) if 0 < value <= _MOST else 0


def _part(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = told.get(name)
    return part if isinstance(part, Mapping) else {}
