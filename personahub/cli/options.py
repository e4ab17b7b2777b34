"""Options that several commands have."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from personahub import config as configuration
from personahub.render.terminal import TerminalUI

if TYPE_CHECKING:
    from personahub.pipeline import Hub

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


@contextmanager
def opened(
    settings: configuration.Config, *, yes: bool = False, spend: bool = False, verbose: bool = False
) -> "Iterator[tuple[Hub, TerminalUI]]":
    """The hub, and the terminal that it talks to. yes: buy without asking; spend: see `pipeline.open_hub`."""
    from personahub import pipeline

    ui = TerminalUI(yes=yes, priced=all(model.cost_usd(0, 0) is not None for model in settings.models.values()))
    with pipeline.open_hub(settings, ui, spend=spend, verbose=verbose) as hub:
        yield hub, ui


def stages_help(answers: bool = False) -> str:
    """The stages, or those that buy answers, a line each. Their import takes a second, so only where it is shown."""
    if "--help" not in sys.argv[2:]:
        return ""
    from personahub.stages import STAGES

    return "\n\n".join(f"{stage.name}: {stage.about}" for stage in STAGES.values() if stage.buys_answers or not answers)
