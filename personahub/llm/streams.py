"""Reads a body of server-sent events as the one chat completion that its chunks make up: some servers stream whatever a request says."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

_JOINED = ("content", "reasoning_content", "reasoning", "refusal")  # texts of a delta; each chunk has a piece
_LINE_END = re.compile(r"\r\n|\n|\r")  # of events; other ends of lines are characters of a text
_DECODER = json.JSONDecoder()


def joined(text: str) -> Any:
    """The body that `text` stands for: a chat completion of all its chunks, or a JSON value that is followed by `data: [DONE]`.

    None where it is neither, or ends before its last chunk.
    """
    text = text.strip()
    if text.startswith(("{", "[")):
        try:
            value, end = _DECODER.raw_decode(text)
        except (ValueError, RecursionError):
            return None
        return value if text[end:].strip() == "data: [DONE]" else None
    if not text.startswith(("data:", "event:", "id:", "retry:", ":")):
        return None
    said = [line.removeprefix("data:").strip() for line in _LINE_END.split(text) if line.startswith("data:")]
    try:
        chunks = [json.loads(one) for one in said if one and one != "[DONE]"]
    except (ValueError, RecursionError):
        return None
    return _completion([chunk for chunk in chunks if isinstance(chunk, Mapping)], ended="[DONE]" in said)


def _completion(chunks: list[Mapping[str, Any]], ended: bool) -> Any:
    if broken := next((chunk for chunk in chunks if chunk.get("error")), None):
        return broken
    choices = [choice for chunk in chunks for choice in _first(chunk.get("choices"))]
    if whole := next((chunk for chunk in chunks if any("message" in choice for choice in _first(chunk.get("choices")))), None):
        return whole
    reason = next((choice["finish_reason"] for choice in reversed(choices) if choice.get("finish_reason")), None)
    if not choices or not (ended or reason):
        return None
    deltas = [delta for choice in choices if isinstance(delta := choice.get("delta"), Mapping)]
    message: dict[str, Any] = {"role": "assistant"}
    for name in _JOINED:
        message[name] = "".join(piece for delta in deltas if isinstance(piece := delta.get(name), str)) or None
    if arguments := "".join(_arguments(deltas)):
        message["tool_calls"] = [{"function": {"arguments": arguments}}]
    usage = next((chunk["usage"] for chunk in reversed(chunks) if chunk.get("usage")), None)
    return {"choices": [{"index": 0, "message": message, "finish_reason": reason}], "usage": usage}


def _first(choices: Any) -> Iterable[Mapping[str, Any]]:
    """The first answer's part of a chunk; the last chunk, with the usage, has none."""
    return [one for one in choices if isinstance(one, Mapping) and not one.get("index")] if isinstance(choices, list) else []


def _arguments(deltas: list[Mapping[str, Any]]) -> Iterable[str]:
    for delta in deltas:
        for call in _first(delta.get("tool_calls")):
            function = call.get("function")
            piece = function.get("arguments") if isinstance(function, Mapping) else None
            if isinstance(piece, str):
                yield piece
