"""What the configured endpoints understand, asked afresh: `personahub check-models`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from personahub import stages
from personahub.config import Config, Model
from personahub.errors import AuthenticationError, ErrorKind
from personahub.llm import own_loop
from personahub.llm.dialects import from_capabilities
from personahub.llm.keys import read_key
from personahub.llm.probe import Probe, probe
from personahub.llm.probe_embeddings import probe_embeddings


@dataclass(frozen=True)
class Endpoint:
    """One entry of `models` and what was found there. kind: why nothing can be bought there, or None. notes: sentences for the user."""

    alias: str
    model: Model
    kind: ErrorKind | None
    says: str
    notes: tuple[str, ...] = ()
    found: Mapping[str, str] | None = None


def check_endpoints(config: Config) -> list[Endpoint]:
    """Asks each model for a tiny answer to every schema that the stages would ask it for, or for a vector. Costs a few hundred tokens."""
    uses = [use for stage in stages.STAGES.values() for use in stage.models(config)]
    return [_checked(config.models[alias], alias, [use for use in uses if use.alias == alias]) for alias in config.models]


def _checked(model: Model, alias: str, uses: list[Any]) -> Endpoint:
    schemas = {prompt.schema_name: prompt.schema for use in uses for prompt in use.prompts}
    try:
        key = read_key(model)
    except AuthenticationError as error:
        return Endpoint(alias, model, ErrorKind.AUTHENTICATION, str(error))
    if uses and not schemas:
        found = own_loop.run(probe_embeddings(model, key))
        says = f"gives vectors; encoding {found.found.get('encoding')}"
    else:
        found = own_loop.run(probe(model, key, schemas))
        says = _answers(found, model, schemas)
    if not found.found:
        return Endpoint(alias, model, found.kind or ErrorKind.CONNECTION, found.message or "it does not answer")
    if found.kind is not None:
        says += f", but an answer was of no use: {found.message}"
    return Endpoint(alias, model, None, says, found.notes, found.found)


def _answers(found: Probe, model: Model, schemas: Mapping[str, Mapping[str, Any] | None]) -> str:
    dialect = from_capabilities(model, schemas, found.found)
    formats = {dialect.format_of(name) for name, schema in schemas.items() if schema is not None}
    return f"answers; response_format {', '.join(sorted(formats))}" if formats else "answers"
