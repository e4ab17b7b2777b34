"""The settings and their defaults: frozen, strict pydantic models."""

import os
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from personahub.ids import canonical_json, content_id
from personahub.text import nearest

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Price = Annotated[float, Field(ge=0)]
Relation = Literal["read", "write", "like", "dislike"]


def expanded(path: str) -> str:
    """With the home folder for ~ and the values of $VARIABLES of the environment; one that is not set stays as it is.

    Raises ValueError where there is no home folder, as in a container of any user.
    """
    found = os.path.expanduser(os.path.expandvars(path))
    if re.match(r"~[^/]*(/|$)", found) and not os.path.exists(found):
        raise ValueError(f"there is no home folder for {found.partition('/')[0]}: set HOME, or name the whole path")
    return found


Place = Annotated[str, AfterValidator(expanded)]
# a key where the name of its variable belongs: by the beginning of those of several providers, or in both cases with digits
_KEY = re.compile(r"^(?:sk|hf|gsk|xai|r8|AIza|ghp)_|^(?=.*[a-z])(?=.*[A-Z])(?=.*\d).{20,}$")


class Settings(BaseModel):
    """A level of the configuration."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", protected_namespaces=())


class Bounds(Settings):
    """A signal must lie within; null leaves a side open."""

    min: float | None = None
    max: float | None = None


class DocumentFilters(Settings):
    min_characters: int | None = 100
    max_characters: int | None = 1_000_000
    max_symbol_ratio: Share | Literal["auto"] | None = "auto"
    max_repeated_line_ratio: Share | Literal["auto"] | None = "auto"
    signals: dict[str, Bounds] = {}


class Documents(Settings):
    format: Literal["redpajama_v2", "jsonl", "parquet", "delta", "c4", "fineweb", "dolma"] = "redpajama_v2"
    path: Place | None = None
    languages: tuple[str, ...] = ("en",)
    buckets: tuple[Literal["head", "middle", "tail"], ...] = ("head", "middle")
    max_documents: Count | None = None
    text_column: str | None = None
    id_column: str | None = None
    filters: DocumentFilters = DocumentFilters()


class Model(Settings):
    base_url: str = "http://127.0.0.1:8000/v1"
    model: str = "mock"
    api_key_env: str | None = "OPENAI_API_KEY"
    api_key_file: str | None = None
    max_concurrent_requests: Count = 64
    max_requests_per_minute: Count | None = None
    max_tokens_per_minute: Count | None = None
    request_timeout: Annotated[float, Field(gt=0)] = 120.0
    max_retries: Annotated[int, Field(ge=0)] = 8
    deadline_seconds: Annotated[float, Field(gt=0)] = 900.0
    generation_params: dict[str, Any] = {"max_tokens": 1024}
    response_format: Literal["auto", "json_schema", "json_object", "none"] = "auto"
    in_mtok_cost: Price | None = None
    out_mtok_cost: Price | None = None

    @field_validator("api_key_env")
    @classmethod
    def _is_a_name(cls, name: str | None) -> str | None:
        if name is not None and (not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or _KEY.search(name)):
            raise ValueError("the name of an environment variable belongs here, not a key: put the key into such a variable")
        return name

    @field_validator("base_url")
    @classmethod
    def _holds_no_password(cls, url: str) -> str:
        if re.match(r"[^/]*//[^/@]*:[^/@]*@", url):
            raise ValueError("a password in the address would stand in the ledger: put it where api_key_env says")
        return url

    @field_validator("generation_params")
    @classmethod
    def _bounds_answers(cls, params: dict[str, Any]) -> dict[str, Any]:
        for name in ("max_tokens", "max_completion_tokens"):
            if name in params and (type(params[name]) is not int or params[name] < 1):
                raise ValueError(f"{name} is a whole number of 1 or more")
        return params

    @property
    def max_answer_tokens(self) -> int:
        """The upper bound of one answer, in tokens; 4,096 is assumed where generation_params sets none."""
        params = self.generation_params
        return int(params.get("max_completion_tokens") or params.get("max_tokens") or 4096)

    def unpriced(self, *, answers: bool = True) -> list[str]:
        """The settings of the prices that a budget needs and that are unknown. answers: are there answer tokens? Embeddings have none."""
        return [name for name in ("in_mtok_cost", "out_mtok_cost")[: 1 + answers] if getattr(self, name) is None]

    def cost_usd(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """Dollars; None where a price that counts is unknown. Embeddings have no answer tokens, and need no price for them."""
        if self.in_mtok_cost is None or (self.out_mtok_cost is None and completion_tokens):
            return None
        return (prompt_tokens * self.in_mtok_cost + completion_tokens * (self.out_mtok_cost or 0.0)) / 1e6


class Inference(Settings):
    requests_per_commit: Count = 1000
    concurrent_windows: Count = 4
    tasks_per_window: Count | Literal["auto"] = "auto"
    journal: Literal["auto", "on", "off"] = "auto"
    journal_path: Place | None = None
    budget_usd: Price | None = None
    max_error_rate: Share = 0.6

    @field_validator("journal", mode="before")
    @classmethod
    def _yaml_switch(cls, value: Any) -> Any:
        """YAML reads a bare on or off as true or false."""
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


class TextToPersona(Settings):
    model: str = "default"
    relations: Annotated[tuple[Relation, ...], Field(min_length=1)] = ("read", "write", "like", "dislike")
    relations_per_request: Count = 4
    granularity: Literal["coarse", "fine", "finest"] = "fine"
    personas_per_relation: Count = 1
    max_text_characters: Count = 6000


class PersonaToPersona(Settings):
    model: str = "default"
    hops: Annotated[int, Field(ge=0, le=6)] = 0
    relations_file: Place | None = None
    relations_per_request: Count = 3
    personas_per_relation: Count = 1
    max_frontier: Count | None = None
    frontier_sampling: Literal["uniform", "by_root"] = "uniform"
    min_novelty: Share = 0.0


class PersonaFilters(Settings):
    min_words: Count = 3
    max_words: Count = 120
    unsafe: bool = True
    names: bool = True
    languages: tuple[str, ...] = ()


class Personas(Settings):
    filters: PersonaFilters = PersonaFilters()


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
    language: Annotated[str, Field(pattern="^[a-z]{2}$")] | None = None

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
            raise ValueError("max_candidates is less than target_accepted")
        return self


class Spark(Settings):
    engine: Literal["auto", "embedded", "spark"] = "auto"
    master: str | None = None
    conf: dict[str, str] = {}


class Config(Settings):
    """The whole configuration. `root` is where the tables lie, unless `catalog` names a `catalog.schema`."""

    root: Place = "hub"
    catalog: str | None = None
    documents: Documents = Documents()
    models: dict[str, Model] = {"default": Model()}
    inference: Inference = Inference()
    text_to_persona: TextToPersona = TextToPersona()
    persona_to_persona: PersonaToPersona = PersonaToPersona()
    personas: Personas = Personas()
    dedup: Dedup = Dedup()
    synthesis: Synthesis = Synthesis()
    spark: Spark = Spark()

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        chats = {
            "text_to_persona.model": self.text_to_persona.model,
            "persona_to_persona.model": self.persona_to_persona.model,
            "synthesis.model": self.synthesis.model,
            "synthesis.conversation.assistant_model": self.synthesis.conversation.assistant_model,
            "synthesis.moderation_model": self.synthesis.moderation_model,
        }
        semantic = self.dedup.semantic
        embeds = {"dedup.semantic.model": semantic.model} if semantic.enabled or self.synthesis.needs_vectors else {}
        for key, alias in (chats | embeds).items():
            if alias is not None and alias not in self.models:
                raise ValueError(f"{key} names {alias!r}, which is not under models{nearest(alias, self.models)}")
        return self

    def alias_of(self, model: Model) -> str:
        """The name under `models` of a model with these settings, of several the first; that of the model itself if it is none of them."""
        return next((alias for alias, known in self.models.items() if known == model), model.model)

    @property
    def fingerprint(self) -> str:
        """Of the values, so that comments and the order of keys do not matter."""
        return content_id(canonical_json(self.model_dump(mode="json")))[:16]
