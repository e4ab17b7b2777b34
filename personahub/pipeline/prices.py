"""A budget holds only where prices are known: those of the models that the chosen stages ask, and of no other."""

from collections.abc import Iterator, Sequence

from personahub import synthesis, text_to_persona
from personahub.buy import check_prices
from personahub.config import Config
from personahub.pipeline import dedup, frontier
from personahub.pipeline.synthesize import shown
from personahub.synthesis import conversation


def check(config: Config, stages: Sequence[str], of: str = "personas") -> None:
    """Raises ConfigError where generate.budget_usd is set and a stage asks a model whose prices are not. of: what `dedup` compares."""
    if config.generate.budget_usd is None:
        return
    for stage in stages:
        if stage == text_to_persona.STAGE:
            check_prices(config, config.models[config.text_to_persona.model], stage)
        elif stage == dedup.STAGE and of == "personas" and config.dedup.semantic.enabled:
            _check_vectors(config, stage)
        elif stage == frontier.STAGE and config.persona_to_persona.hops:
            check_prices(config, config.models[frontier.model_of(config)], stage)
            if config.dedup.semantic.enabled:  # each hop is deduplicated
                _check_vectors(config, dedup.STAGE)
        elif stage == synthesis.STAGE:
            for alias in dict.fromkeys(_asked_for_examples(config)):
                check_prices(config, config.models[alias], stage)
            if config.synthesis.needs_vectors:
                _check_vectors(config, stage)


def _check_vectors(config: Config, stage: str) -> None:
    """Those of a local model are computed, and cost nothing."""
    if config.dedup.semantic.model is not None:
        check_prices(config, config.models[config.dedup.semantic.model], stage, answers=False)


def _asked_for_examples(config: Config) -> Iterator[str]:
    """Names under models."""
    settings = config.synthesis
    yield settings.model
    if synthesis.CONVERSATION in settings.tasks:
        yield from (conversation.model_of(config, number) for number in range(conversation.passes(config)))
    if settings.moderation_model is not None:
        yield settings.moderation_model
    if shown.nameless(config, synthesis.examples_of(config)):
        yield config.text_to_persona.model
