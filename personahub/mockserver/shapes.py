"""Whether the body of a request has the shape of one, whatever the kind of server."""

import math
from typing import Any

MAX_TEXTS, MAX_TOKENS_OF_TEXT, MAX_TOKENS = 2048, 8191, 300_000  # in one request for vectors


def why_no_chat(body: Any, response_formats: str) -> str | None:
    messages = body["messages"]
    if not (isinstance(messages, list) and messages and all(isinstance(message, dict) for message in messages)):
        return "messages is not a list of messages"
    if body.get("stream"):
        return "stream is not supported by this simulation"
    kind = (body.get("response_format") or {}).get("type", "text")
    if kind not in {"json_object": ("text", "json_object"), "none": ("text",)}.get(response_formats, (kind,)):
        return f"response_format of type {kind!r} is not supported by this server"
    if response_formats == "ignore":
        body.pop("response_format", None)
    return None


def why_no_texts(texts: Any) -> str | None:
    """The limits that OpenAI sets to its embedding models; a token is four characters here."""
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not 1 <= len(texts) <= MAX_TEXTS or not all(isinstance(t, str) and t for t in texts):
        return f"input is not 1 to {MAX_TEXTS} texts"
    tokens = [math.ceil(len(text) / 4) for text in texts]
    if max(tokens) > MAX_TOKENS_OF_TEXT:
        return f"a text of {max(tokens)} tokens: this model reads at most {MAX_TOKENS_OF_TEXT}"
    return f"{sum(tokens)} tokens in one request: at most {MAX_TOKENS}" if sum(tokens) > MAX_TOKENS else None
