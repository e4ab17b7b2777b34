"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Files = Annotated[
    list[Path] | None,
    typer.Option("--config", "-c", metavar="FILE", help="YAML over the defaults; may be given again, the later one wins."),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One setting on top, e.g. generate.budget_usd=5; may be given again."),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show what the engine prints.")]
