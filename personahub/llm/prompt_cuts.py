"""Whether an endpoint answered a prompt whose front it had cut off: some do when their context window is full, with status 200.

Ollama's /v1 takes no window from a request, and cuts at the server's own (ollama/ollama#3839, #17889).
"""

from collections.abc import Mapping, Sequence

WHERE = "Ollama: OLLAMA_CONTEXT_LENGTH; llama.cpp: --ctx-size"  # where a window is set
_LONG = 6000  # characters: less fits into any window
LEAST = 512  # tokens: a smaller count of a long prompt is no window, but a count that nobody made
_CHARACTERS_PER_TOKEN = 6  # more than of any prose: what is below is looked at more closely
_TOKENS_PER_WORD = 0.7  # a tokeniser gives a word one token or more, but for rare pairs of words


def was_cut(prompt_tokens: int, messages: Sequence[Mapping[str, str]], cut_at: int | None = None) -> bool:
    """By the endpoint's own count of the prompt's tokens: fewer than these messages can have, or `cut_at`, which it tells of every one
    that it cuts. Never where it tells none.
    """
    if prompt_tokens < LEAST:
        return False
    if cut_at is not None and abs(prompt_tokens - cut_at) <= 1:
        return True
    characters = sum(len(message["content"]) for message in messages)
    if characters < _LONG or prompt_tokens * _CHARACTERS_PER_TOKEN > characters:
        return False
    return prompt_tokens < lower_bound(messages)


def lower_bound(messages: Sequence[Mapping[str, str]]) -> float:
    """Tokens that these messages have at least: hardly any of a script without blanks between its words."""
    return _TOKENS_PER_WORD * sum(len(message["content"].split()) for message in messages)


def message(prompt_tokens: int) -> str:
    return (
        f"the endpoint cut the front of the prompt off and read only {prompt_tokens:,} tokens: raise its context window ({WHERE}), or ask "
        "with shorter texts"
    )
