"""The tokens that a request was billed: what a response tells of them, and an upper estimate of what it does not. Pure functions, no I/O.

The one place for the names that endpoints use.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from personahub.llm.types import UNTOLD, Usage

MIN_BYTES_PER_TOKEN = 2  # an upper estimate of tokens, for limits that must hold: it is 4 or more in English, 3 in Chinese
_MAX_BYTES_PER_TOKEN = 128  # longer ones are in no vocabulary: fewer tokens than that are not those of a text
_MOST = 10**12  # no request has more tokens: what is above is no count
_READ, _WRITTEN = "cache_read_input_tokens", "cache_creation_input_tokens"


def max_tokens_of(text: str) -> int:
    """An upper estimate."""
    return math.ceil(len(text.encode("utf-8", "replace")) / MIN_BYTES_PER_TOKEN)


def completed(usage: Usage, sent: int, answer_tokens: int) -> Usage:
    """What was not told, at an upper estimate: of the prompt by the `sent` bytes of the request, with all that a provider may count in it.

    Of an answer that was not seen answer_tokens, the most that it may have; one that was seen `read_usage` has estimated.
    """
    if not usage.estimated:
        return usage
    prompt = usage.prompt or math.ceil(sent / MIN_BYTES_PER_TOKEN)
    return replace(usage, prompt=prompt, completion=usage.completion or answer_tokens)


def read_usage(body: Mapping[str, Any], message: Any = None) -> Usage:
    """The usage in the body of a response; `estimated` where it tells none, or none that can be: no prompt is empty, no answer is free.

    message: the answer, whose whole size counts where its tokens are not told: text, thoughts and tool calls. Prompt tokens hold those of
    the cache, under whatever name. A gateway may leave them beside instead: then they are more than the prompt's, or the total is the sum
    of all.
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
    thought = _count(_part(told, "completion_tokens_details"), "reasoning_tokens") or _count(told, "reasoning_tokens")
    reasoning = max(thought, whole - completion)
    cached = min(cached, prompt)
    said = _said(message, whole)
    answer = max(whole, max_tokens_of(said)) if said else whole
    return Usage(
        prompt, cached, min(cache_write, prompt - cached), answer, min(reasoning, whole), estimated=not prompt or bool(said)
    )


def read_usage_of_texts(body: Mapping[str, Any]) -> Usage:
    """The same of an answer with vectors, for which nothing is billed beside the texts."""
    told = read_usage(body).prompt
    return Usage(told) if told else UNTOLD


def read_usage_of_error(body: Mapping[str, Any]) -> Usage:
    """The same of an error that came in place of an answer: what it does not tell was not billed."""
    told = read_usage(body)
    return Usage() if told.estimated else told


def _said(message: Any, tokens: int) -> str:
    """What a model wrote, wherever the message holds it, if so few tokens can not be all of it: some servers tell 1 of every answer."""
    if not isinstance(message, dict) or (tokens and tokens * _MAX_BYTES_PER_TOKEN >= len(message.get("content") or "")):
        return ""
    written = {name: part for name, part in message.items() if part and name != "role"}
    return json.dumps(written, ensure_ascii=False) if written else ""


def _count(told: Mapping[str, Any], name: str) -> int:
    """A count of tokens; 0 where there is none."""
    value = told.get(name)
    if type(value) is float and math.isfinite(value):
        value = int(value)
    return value if type(value) is int and 0 < value <= _MOST else 0  # True is none


def _part(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = told.get(name)
    return part if isinstance(part, dict) else {}
