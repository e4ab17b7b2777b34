"""The whole configuration: its blocks, and what must hold between them."""

from pydantic import model_validator

from personahub.config.dedup import Dedup
from personahub.config.documents import Documents
from personahub.config.inference import Inference
from personahub.config.models import Model
from personahub.config.persona_to_persona import PersonaToPersona
from personahub.config.personas import Personas
from personahub.config.spark import Spark
from personahub.config.synthesis import Synthesis
from personahub.config.text_to_persona import TextToPersona
from personahub.config.values import Place, Settings
from personahub.config.verification import Verification
from personahub.ids import canonical_json, content_id
from personahub.text import nearest


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
    verification: Verification = Verification()
    spark: Spark = Spark()

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        chats = {
            "text_to_persona.model": self.text_to_persona.model,
            "persona_to_persona.model": self.persona_to_persona.model,
            "synthesis.model": self.synthesis.model,
            "synthesis.conversation.assistant_model": self.synthesis.conversation.assistant_model,
            "synthesis.moderation_model": self.synthesis.moderation_model,
            "verification.judge": self.verification.judge,
            **{f"verification.solvers.{at}.model": solver.model for at, solver in enumerate(self.verification.solvers)},
        }
        semantic = self.dedup.semantic
        embeds = {"dedup.semantic.model": semantic.model} if semantic.enabled or self.synthesis.needs_vectors else {}
        for key, alias in (chats | embeds).items():
            if alias is not None and alias not in self.models:
                raise ValueError(f"{key} names {alias!r}, which is not under models{nearest(alias, self.models)}")
        for key, alias in embeds.items():
            if alias is not None and self.models[alias].batch.enabled:
                raise ValueError(f"{key} names {alias!r}, and vectors are not bought in batches: switch off models.{alias}.batch")
        return self

    def alias_of(self, model: Model) -> str:
        """The name under `models` of a model with these settings, or whose pool has it; of several the first, of none the model's own."""
        return next((alias for alias, known in self.models.items() if model in (known, *known.pool)), model.model)

    @property
    def fingerprint(self) -> str:
        """Of the values, so that comments and the order of keys do not matter."""
        return content_id(canonical_json(self.model_dump(mode="json")))[:16]
