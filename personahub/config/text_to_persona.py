"""`text_to_persona`: who would read, write, like or dislike a text (paper, section 2.1)."""

from typing import Annotated, Literal

from pydantic import Field

from personahub.config.values import Count, Settings

Relation = Literal["read", "write", "like", "dislike"]


class TextToPersona(Settings):
    model: str = "default"
    relations: Annotated[tuple[Relation, ...], Field(min_length=1)] = ("read", "write", "like", "dislike")
    relations_per_request: Count = 4
    granularity: Literal["coarse", "fine", "finest"] = "fine"
    personas_per_relation: Count = 1
    max_text_characters: Count = 6000
