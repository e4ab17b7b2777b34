"""What kinds of servers do each in its own way: `mock-server --like NAME`. From public reports; docs/endpoints.md names these.

A profile refuses requests, cuts prompts, spoils answers in its own manner, and tells usage, errors and limits in its own form. Faults and
capacity come on top. What is billed is the true count, whatever the profile tells.
"""

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from personahub.mockserver import problems, refusals
from personahub.mockserver.refusals import schema_of

Answer = dict[str, Any]
OLLAMA_CONTEXT = 4096


@dataclass(frozen=True)
class Billed:
    """Tokens. Those in `cached` are within `prompt`, those in `reasoning` within `completion`."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    reasoning: int = 0

    def __add__(self, other: "Billed") -> "Billed":
        return Billed(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.cached + other.cached,
            self.reasoning + other.reasoning,
        )

    def count(self) -> dict[str, int]:
        return {f"{name}_tokens": value for name, value in asdict(self).items()}

    def plain(self) -> dict[str, Any]:
        total = self.prompt + self.completion
        return {"prompt_tokens": self.prompt, "completion_tokens": self.completion, "total_tokens": total}


@dataclass(frozen=True)
class Limit:
    """Requests a minute: the limit, how many are left of it, and in how many seconds the next one comes free."""

    requests: int
    remaining: int
    reset: int


@dataclass(frozen=True)
class Profile:
    """refuse: why a request is not taken, or None. form: how an error is sent. shorten: the request as the model sees it.

    strike: changes a good answer in place, and says what it did to it, or None where the answer stays good; the last argument is the share
    of the answers to change, and the draw is of the attempt. tell: the usage, or {} where none is told. headers: of an answer, where there
    is a limit.
    """

    refuse: refusals.Refuse = refusals.nothing
    form: problems.Form = problems.plain
    shorten: Callable[[dict[str, Any]], dict[str, Any]] = lambda body: body
    strike: Callable[[Answer, dict[str, Any], random.Random, float], str | None] = lambda answer, body, draw, share: None
    tell: Callable[[Billed], dict[str, Any]] = lambda billed: {"usage": billed.plain()}
    headers: Callable[[Limit], dict[str, str]] = lambda limit: {}
    limits: bool = True  # it says 429; others let requests wait in line
    key_header: str | None = None  # beside Authorization
    deployments: bool = False  # paths of Azure, of which the older ones want a query
    thoughts: int = 0  # tokens at most that an answer costs besides those that are seen
    cache_block: int = 0  # tokens; prompts are cached by blocks of them
    min_cached: int = 0  # tokens of a beginning that is cached at all


# -- usage ------------------------------------------------------------------------------------------------------------------------------


def _detailed(billed: Billed) -> dict[str, Any]:
    prompt, completion = {"cached_tokens": billed.cached}, {"reasoning_tokens": billed.reasoning}
    return {"usage": billed.plain() | {"prompt_tokens_details": prompt, "completion_tokens_details": completion}}


def _priced(billed: Billed) -> dict[str, Any]:
    usage = _detailed(billed)["usage"]
    return {"provider": "Simulated", "usage": usage | {"cost": billed.plain()["total_tokens"] / 1e6}}


def _null_details(billed: Billed) -> dict[str, Any]:
    return {"usage": billed.plain() | {"prompt_tokens_details": None, "reasoning_tokens": 0}}


def _hits_and_misses(billed: Billed) -> dict[str, Any]:
    cache = {"prompt_cache_hit_tokens": billed.cached, "prompt_cache_miss_tokens": billed.prompt - billed.cached}
    return {"usage": billed.plain() | cache | {"completion_tokens_details": {"reasoning_tokens": billed.reasoning}}}


def _only_in_the_total(billed: Billed) -> dict[str, Any]:
    return {"usage": billed.plain() | {"completion_tokens": billed.completion - billed.reasoning}}


def _timed(billed: Billed) -> dict[str, Any]:
    timings = {"cache_n": billed.cached, "prompt_n": billed.prompt - billed.cached, "predicted_n": billed.completion}
    return {"usage": billed.plain() | {"prompt_tokens_details": {"cached_tokens": billed.cached}}, "timings": timings}


def _none_or_null(billed: Billed) -> dict[str, Any]:
    return {"usage": None} if billed.completion % 2 else {}


# -- what becomes of prompts and answers --------------------------------------------------------------------------------------------------


def _last_of_the_prompt(body: dict[str, Any]) -> dict[str, Any]:
    """What does not fit into the context is cut off at the front, and nothing says so."""
    room, kept = 4 * (OLLAMA_CONTEXT - 1), []
    for message in reversed(body["messages"]):
        content = str(message.get("content") or "")
        if room and content:
            kept.append({**message, "content": content[-room:]})
        room = max(0, room - len(content))
    return body | {"messages": kept[::-1]}


def _of_a_cut_prompt(answer: Answer, body: dict[str, Any], draw: random.Random, share: float) -> str | None:
    """A prompt that fills the context leaves no room for an answer, or the context is shifted for one."""
    if answer["usage"]["prompt_tokens"] < OLLAMA_CONTEXT - 1:
        return None
    if random.Random(answer["id"]).random() < 0.5:
        answer["choices"][0] |= {"message": {"role": "assistant", "content": ""}, "finish_reason": "length"}
        answer["usage"]["completion_tokens"] = 1
    return "context_cut"


def _loop_of_blanks(answer: Answer, body: dict[str, Any], draw: random.Random, share: float) -> str | None:
    """A grammar permits blanks between any two tokens of JSON, and the model never leaves them."""
    if schema_of(body) is None or random.Random(answer["id"]).random() >= share:  # the same request ends so each time
        return None
    limit = int(body.get("max_completion_tokens") or body.get("max_tokens") or OLLAMA_CONTEXT)
    choice = answer["choices"][0]
    choice["message"]["content"] = choice["message"]["content"][:20].ljust(4 * limit, "\n")
    choice["finish_reason"] = "length"
    answer["usage"]["completion_tokens"] = limit
    return "blanks"


def _as_thought(answer: Answer, body: dict[str, Any], draw: random.Random, share: float) -> str | None:
    """The answer to a schema stands where thoughts belong: the client can read it there, so it is as good as any."""
    message = answer["choices"][0]["message"]
    if schema_of(body) is not None:
        message["content"], message["reasoning_content"] = None, message["content"]
    return None


def _filtered(answer: Answer, body: dict[str, Any], draw: random.Random, share: float) -> str | None:
    """The filter of answers."""
    if "morphine" not in refusals.text_of(body):  # stands for what it dislikes
        return None
    answer["choices"][0] |= {"message": {"role": "assistant", "content": ""}, "finish_reason": "content_filter"}
    return "filtered"


def _empty(answer: Answer, body: dict[str, Any], draw: random.Random, share: float) -> str | None:
    if not body.get("response_format") or draw.random() >= share:
        return None
    answer["choices"][0]["message"]["content"] = ""
    return "empty"


# -- limits -------------------------------------------------------------------------------------------------------------------------------


def _openai_headers(limit: Limit) -> dict[str, str]:
    name = "x-ratelimit-{}-requests".format
    reset = f"{limit.reset // 60}m{limit.reset % 60}s" if limit.reset >= 60 else f"{limit.reset}s"
    return {name("limit"): str(limit.requests), name("remaining"): str(limit.remaining), name("reset"): reset}


def _azure_headers(limit: Limit) -> dict[str, str]:
    """The time until a reset is not told: -1, or 0."""
    return _openai_headers(limit) | {"x-ratelimit-reset-requests": "0" if limit.remaining else "-1"}


def _mistral_headers(limit: Limit) -> dict[str, str]:
    return {"x-ratelimit-limit-req-minute": str(limit.requests), "x-ratelimit-remaining-req-minute": str(limit.remaining)}


def _litellm_headers(limit: Limit) -> dict[str, str]:
    return {f"llm_provider-{name}": value for name, value in _openai_headers(limit).items()}


PROFILES = {
    "openai": Profile(
        refusals.openai, problems.openai, tell=_detailed, headers=_openai_headers, thoughts=96, cache_block=128, min_cached=1024
    ),
    "azure": Profile(
        refusals.azure,
        problems.azure,
        strike=_filtered,
        tell=_detailed,
        headers=_azure_headers,
        key_header="api-key",
        deployments=True,
        cache_block=128,
        min_cached=1024,
    ),
    "vllm": Profile(form=problems.vllm, strike=_loop_of_blanks, tell=_null_details, limits=False),
    "sglang": Profile(form=problems.sglang, strike=_as_thought, tell=_null_details, limits=False),
    "llamacpp": Profile(refusals.llamacpp, problems.llamacpp, tell=_timed, limits=False, cache_block=16),
    "ollama": Profile(form=problems.ollama, shorten=_last_of_the_prompt, strike=_of_a_cut_prompt, limits=False),
    "openrouter": Profile(form=problems.openrouter, tell=_priced, thoughts=48),
    "gemini": Profile(refusals.gemini, problems.gemini, tell=_only_in_the_total, thoughts=96),
    "mistral": Profile(refusals.mistral, problems.mistral, headers=_mistral_headers),
    "deepseek": Profile(refusals.deepseek, problems.deepseek, strike=_empty, tell=_hits_and_misses, cache_block=64),
    "litellm": Profile(form=problems.litellm, tell=_none_or_null, headers=_litellm_headers),
}
PLAIN = Profile()  # without --like


class PrefixCache:
    """Which beginnings of prompts a server has seen, as providers cache them: in whole blocks, from the first token on."""

    def __init__(self, profile: Profile) -> None:
        self._block, self._minimum = profile.cache_block, profile.min_cached
        self._known: set[int] = set()

    def cached(self, text: str) -> int:
        """Tokens of this prompt that were in the cache; it is there from now on."""
        size, found, prefix = 4 * self._block, 0, 0
        for end in range(size, len(text) + 1, size) if size else ():
            prefix = hash((prefix, text[end - size : end]))
            found += prefix in self._known
            self._known.add(prefix)
        return found * self._block if found * self._block >= self._minimum else 0
