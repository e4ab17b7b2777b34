"""`persona_to_persona`: who is in a close relationship with a persona (paper, section 2.2)."""

from typing import Annotated, Literal

from pydantic import Field

from personahub.config.values import Count, Place, Settings, Share


class PersonaToPersona(Settings):
    model: str = "default"
    hops: Annotated[int, Field(ge=0, le=6)] = 0
    relations_file: Place | None = None
    relations_per_request: Count = 3
    personas_per_relation: Count = 1
    max_frontier: Count | None = None
    frontier_sampling: Literal["uniform", "by_root"] = "uniform"
    min_novelty: Share = 0.0
