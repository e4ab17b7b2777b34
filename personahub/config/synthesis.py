"""`synthesis`: which examples are made with the kept personas (paper, sections 3 and 4)."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from personahub.config.values import Count, Language, Place, Settings


def _two_letters(code: str) -> str:
    """What tells languages apart knows those of two letters."""
    if len(code) != 2:
        raise ValueError("a language of ISO 639-1 belongs here, by its code: en, de, zh, ...")
    return code


class FewShot(Settings):
    file: Place | None = None
    pool_size: Count = 1000
    n: Count = 3
    selection: Literal["random", "knn"] = "random"
    seed: int = 1


class Conversation(Settings):
    turns: Annotated[int, Field(ge=1, le=20)] = 3
    assistant_model: str | None = None


class Synthesis(Settings):
    model: str = "default"
    tasks: tuple[str | dict[str, Any], ...] = ("math",)
    task_folder: Place | None = None
    mode: Literal["zero_shot", "few_shot", "persona_few_shot"] = "zero_shot"
    few_shot: FewShot = FewShot()
    conversation: Conversation = Conversation()
    max_personas: Count | None = None
    persona_sampling: Literal["uniform", "by_hop"] = "uniform"
    seed: int = 1
    samples_per_persona: Annotated[int, Field(ge=1, le=1000)] = 1
    target_accepted: Count | None = None
    max_candidates: Count | None = None
    topic_similarity: bool = False
    moderation_model: str | None = None
    constraint: str | None = None
    language: Annotated[Language, AfterValidator(_two_letters)] | None = None

    @property
    def needs_vectors(self) -> bool:
        return self.topic_similarity or (self.mode != "zero_shot" and self.few_shot.selection == "knn")

    @model_validator(mode="after")
    def _one_goal(self) -> "Synthesis":
        if self.target_accepted is not None and self.samples_per_persona > 1:
            raise ValueError(
                "target_accepted and samples_per_persona are both set: with the first each persona is asked once for a task"
            )
        if self.max_candidates is not None and self.target_accepted is None:
            raise ValueError("max_candidates is set without target_accepted, whose candidates it counts")
        if self.target_accepted is not None and self.max_candidates is not None and self.max_candidates < self.target_accepted:
            raise ValueError("max_candidates is less than target_accepted, which it can never reach: raise it, or leave it out")
        return self
