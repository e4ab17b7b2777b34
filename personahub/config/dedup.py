"""`dedup`: what counts as a near-duplicate (paper, section 2.3)."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from personahub.config.values import Count, Place, Settings


class LexicalDedup(Settings):
    method: Literal["exact", "minhash"] = "exact"
    threshold: Annotated[float, Field(ge=0.3, le=1)] = 0.9
    unit: Literal["word", "character"] = "word"
    ngram: Count = 1
    num_perm: Annotated[int, Field(ge=16, le=1024)] = 128
    min_recall: Annotated[float, Field(gt=0, lt=1)] = 0.999
    seed: int = 1


class SemanticDedup(Settings):
    enabled: bool = False
    model: str | None = None
    local_model: Place | None = None
    local_revision: str | None = None
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.9
    clusters: Count | Literal["auto"] = "auto"
    probes: Count = 4
    seed: int = 1
    texts_per_request: Annotated[int, Field(ge=1, le=2048)] = 256
    tokens_per_request: Count = 300_000
    max_text_tokens: Count = 8191

    @model_validator(mode="after")
    def _one_source(self) -> "SemanticDedup":
        if self.model is not None and self.local_model is not None:
            raise ValueError("model and local_model are both set: vectors come from one of them, set the other to null")
        if self.local_revision is not None and self.local_model is None:
            raise ValueError("local_revision is set without local_model, whose revision it names")
        return self


class Dedup(Settings):
    lexical: LexicalDedup = LexicalDedup()
    semantic: SemanticDedup = SemanticDedup()
