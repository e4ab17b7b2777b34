"""A budget holds only where prices are known: those of the models that the chosen stages ask, and of no other."""

from collections.abc import Sequence

from personahub.config import Config
from personahub.inference import check_prices
from personahub.stages.stage import Stage


def check(config: Config, stages: Sequence[Stage]) -> None:
    """Raises ConfigError where inference.budget_usd is set and a stage asks a model whose prices are not."""
    if config.inference.budget_usd is None:
        return
    for stage in stages:
        for asked in dict.fromkeys(stage.models(config)):
            check_prices(config, config.models[asked.alias], stage.name, answers=asked.answers)
