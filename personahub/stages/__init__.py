"""The stages of the pipeline, in their order. What a stage is: `stages.stage`; what executes it: `stages.runner`."""

from personahub import schemas
from personahub.errors import ConfigError
from personahub.stages import dedup, documents, persona_to_persona, solve, synthesize, text_to_persona, verify
from personahub.stages.stage import Stage
from personahub.text import nearest

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        documents.STAGE,
        text_to_persona.STAGE,
        dedup.STAGE,
        persona_to_persona.STAGE,
        synthesize.STAGE,
        solve.STAGE,
        verify.STAGE,
    )
}


def register(stage: Stage) -> None:
    """Add a stage, with its tables, behind the others: `run`, `estimate`, `preview`, `status` and `forget` know it from then on."""
    STAGES[stage.name] = stage
    for name, table in stage.tables.items():
        schemas.TABLES[name] = table.schema
        if table.key:
            schemas.KEYS[name] = table.key


def named(name: str) -> Stage:
    """Raises ConfigError for a stage that is not there."""
    if name not in STAGES:
        raise ConfigError(f"unknown stage {name!r}{nearest(name, STAGES)}")
    return STAGES[name]
