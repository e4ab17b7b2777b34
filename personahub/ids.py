"""Content ids: BLAKE2b-128 in hex, made in Python only, so that every engine, partitioning and rerun gives the same ones."""

import json
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

from personahub.text import normalise

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_id(text: str) -> str:
    """BLAKE2b-128 of the UTF-8 bytes, as 32 hex digits. Lone surrogates, which UTF-8 cannot carry, are kept by escaping."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, no escapes."""
    return _ENCODER.encode(value)


def persona_id(persona: str) -> str:
    """Identical normalised texts are one persona."""
    return content_id(normalise(persona))


def completion_ids(
    *,
    prompt_name: str,
    prompt_version: str,
    answer_schema: Mapping[str, Any] | None,
    model: str,
    generation_params: Mapping[str, Any],
) -> Callable[[str, int], str]:
    """From the variables of a request, in canonical JSON, and its sample_index to the id of its completion.

    It hangs on exactly what can change the answer, and on nothing else: no base_url, no alias, no run, no source. It is the content id of
    the canonical JSON of all these; only the two last keys of that differ between the requests of one prompt.
    """
    same = {
        "prompt_name": prompt_name,
        "prompt_version": prompt_version,
        "answer_schema": answer_schema,
        "model": model,
        "generation_params": generation_params,
    }
    head = canonical_json(same).removesuffix("}")

    def completion_id(variables: str, sample_index: int = 0) -> str:
        return content_id(f'{head},"sample_index":{sample_index},"variables":{variables}}}')

    return completion_id


def reject_id(stage: str, source_id: str, completion_id: str | None, reason: str, position: int = 0) -> str:
    """One refused item of one source (and one completion, where there is one)."""
    return content_id(canonical_json([stage, source_id, completion_id, reason, position]))


def seed(*parts: str) -> int:
    """A 64-bit seed from names and ids: randomness comes from identity, never from the clock."""
    return int(content_id(canonical_json(parts))[:16], 16)
