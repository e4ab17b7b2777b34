"""A request as a row: what every stage that buys answers makes of its sources."""

from collections.abc import Callable, Mapping
from typing import Any

from personahub.ids import canonical_json


def request_row(
    stage: str,
    source_id: str,
    sample_index: int,
    prompt_name: str,
    completion_id: Callable[[str, int], str],
    variables: Mapping[str, Any],
) -> dict[str, Any]:
    """A row of schemas.REQUESTS. completion_id: from `Prompt.completion_ids`. variables: what the prompt is rendered from."""
    canonical = canonical_json(variables)
    return {
        "stage": stage,
        "source_id": source_id,
        "sample_index": sample_index,
        "completion_id": completion_id(canonical, sample_index),
        "prompt_name": prompt_name,
        "variables": canonical,
    }
