"""Options that several commands have."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from personahub import config as configuration

Files = Annotated[
    list[Path] | None,
    typer.Option("--config", "-c", metavar="FILE", help="YAML over the defaults; may be given again, the later one wins."),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One setting on top, e.g. inference.budget_usd=5; may be given again."),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show what the engine prints.")]


def settings_of(config: Sequence[Path] | None, sets: Sequence[str] | None) -> configuration.Config:
    """What --config and --set say, on top of the defaults. Raises ConfigError."""
    return configuration.load(config or (), sets or ())


def stages_help(answers: bool = False) -> str:
    """The stages, or those that buy answers, a line each. Their import takes a second, so only where it is shown."""
    if "--help" not in sys.argv[2:]:
        return ""
    from personahub.stages import STAGES

    return "\n\n".join(f"{stage.name}: {stage.about}" for stage in STAGES.values() if stage.buys_answers or not answers)
