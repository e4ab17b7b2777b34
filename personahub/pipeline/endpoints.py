"""What the configured endpoints understand, asked afresh: `personahub check-models`."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from personahub import stages
from personahub.config import Config, Model
from personahub.errors import AuthenticationError, ErrorKind
from personahub.inference.pending import characters_of_template
from personahub.inference.preflight import remember, write_down
from personahub.llm import facts, own_loop
from personahub.llm.dialects import CUT_AT, Dialect, from_capabilities
from personahub.llm.embeddings import key_of
from personahub.llm.keys import read_key
from personahub.llm.probe import Probe, probe
from personahub.llm.probe_embeddings import probe_embeddings
from personahub.llm.probe_window import READ_BY_ALL, READS, probe_window
from personahub.llm.types import Usage
from personahub.stages.stage import ModelUse
from personahub.storage.hub import Hub

FREE_TEXT = "free text"  # beside the schemas: a question that wants a thought


@dataclass(frozen=True)
class Endpoint:
    """One entry of `models` and what was found there. kind: why nothing can be bought there, or None; says: a sentence about it.

    rows: what was asked and what was found, for people. probes: each with the stage that it was for.
    """

    alias: str
    model: Model
    kind: ErrorKind | None
    says: str
    rows: tuple[tuple[str, str], ...] = ()
    probes: tuple[tuple[str, Probe], ...] = ()
    key: str = ""  # of the model in `endpoint_capabilities`


def check_endpoints(config: Config) -> list[Endpoint]:
    """Asks each model for a tiny answer to every schema that the stages would ask it for, or for a vector; for one that wants a thought;
    and for two words of a prompt as long as the longest that the settings allow. Costs a few thousand tokens; of a pool, at each endpoint.
    """
    uses = [(stage.name, use) for stage in stages.STAGES.values() for use in stage.models(config)]
    pools = [(alias, one) for alias, model in config.models.items() for one in model.pool]
    return [_checked(model, alias, [one for one in uses if one[1].alias == alias]) for alias, model in pools]


def keep_findings(hub: Hub, checked: list[Endpoint]) -> None:
    """Writes down what was found, which runs go by from now on, and what it cost."""
    for one in checked:
        for stage, found in one.probes:
            write_down(hub, stage, one.model, found)
            if found.found:
                remember(hub, one.model, one.key, found.found)


def is_there(config: Config) -> bool:
    """Whether the hub is a folder that exists: what was found about endpoints makes none."""
    return config.catalog is None and Path(config.root).is_dir()


def _checked(model: Model, alias: str, uses: list[tuple[str, ModelUse]]) -> Endpoint:
    try:
        key = read_key(model)
    except AuthenticationError as error:
        return Endpoint(alias, model, ErrorKind.AUTHENTICATION, str(error))
    stage, prompts = uses[0][0] if uses else stages.text_to_persona.NAME, [prompt for _, use in uses for prompt in use.prompts]
    if uses and not prompts:
        found = own_loop.run(probe_embeddings(model, key))
        rows = [("vectors", f"as {found.found.get('encoding')}"), ("asked", _asked(model, found))]
        return _endpoint(alias, model, found, rows, ((stage, found),), key_of(model))
    schemas: dict[str, dict[str, Any] | None] = {prompt.schema_name: prompt.schema for prompt in prompts}
    found = own_loop.run(probe(model, key, {**schemas, FREE_TEXT: None}))
    dialect = from_capabilities(model, schemas, found.found)
    probes: tuple[tuple[str, Probe], ...] = ((stage, found),)
    longest = max((use.characters + characters_of_template(prompt) for _, use in uses for prompt in use.prompts), default=0)
    window = None
    if found.found and longest > READ_BY_ALL:
        window = own_loop.run(probe_window(model, key, dialect, longest))
        probes = (*probes, (stage, window))
    rows = list(_rows(model, schemas, found, dialect, window))
    return _endpoint(alias, model, found, rows, probes, model.model)


def _endpoint(alias: str, model: Model, found: Probe, rows: Any, probes: Any, key: str) -> Endpoint:
    if not found.found:
        return Endpoint(alias, model, found.kind or ErrorKind.CONNECTION, found.message or "it does not answer", (), probes, key)
    says = "yes" if found.kind is None else f"yes, but an answer was of no use: {found.message}"
    return Endpoint(alias, model, None, says, tuple(rows), probes, key)


def _rows(
    model: Model, schemas: Mapping[str, Any], found: Probe, dialect: Dialect, window: Probe | None
) -> Iterator[tuple[str, str]]:
    known = found.found
    told = dialect.told(model.generation_params)
    yield "parameters", "; ".join(told) or "as configured"
    formats: dict[str, list[str]] = {}
    for name, schema in schemas.items():
        if schema is not None:
            formats.setdefault(dialect.format_of(name), []).append(name)
    if formats:
        yield "structured output", "; ".join(f"{each}: {', '.join(names)}" for each, names in formats.items())
    for note in found.notes:
        if note not in told:
            yield "", note
    thinks, under = known.get(facts.THINKING, facts.NO), known.get(facts.THINKING_UNDER_SCHEMA, facts.NO)
    yield "thinking", thinks if thinks == under else f"{thinks} for a small question, {under} where a schema is asked for"
    if facts.MISPLACED in known:
        yield "", f"answers to a schema come in {known[facts.MISPLACED]}: they are read there"
    if window is not None:
        yield "long prompts", _reading(window)
    yield "tokens", _telling(known)
    limits = known.get(facts.RATE_LIMITS, facts.NOT_TOLD)
    yield "rate limits", limits if limits == facts.NOT_TOLD else ", ".join(f"{k}: {v}" for k, v in json.loads(limits).items())
    yield "asked", _asked(model, found, *([window] if window else []))


def _reading(window: Probe) -> str:
    if window.notes:
        return window.notes[0]
    return f"{int(window.found[READS]):,} characters are read whole" if window.found.get(READS) else str(window.found.get(CUT_AT))


def _telling(known: Mapping[str, str]) -> str:
    if known.get(facts.USAGE) != facts.TOLD:
        return "not told: each answer is booked at an upper estimate"
    return "told" + (", those of the provider's cache too" if known.get(facts.CACHED) == facts.TOLD else "")


def _asked(model: Model, *probes: Probe) -> str:
    attempts = [attempt for found in probes for _, attempt in found.attempts]
    usage = sum((attempt.usage for attempt in attempts), Usage())
    cost = usage.cost_usd(model)
    price = "" if cost is None else f", ${cost:.4f}"
    return f"{len(attempts)} requests, {usage.prompt + usage.completion:,} tokens{price}"
