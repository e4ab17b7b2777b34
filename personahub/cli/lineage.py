"""`personahub lineage` and `personahub forget`: where a persona comes from, and how it goes."""

from typing import TYPE_CHECKING, Annotated

import typer

from personahub.cli.options import Files, Sets, Verbose, opened, settings_of
from personahub.errors import Interrupted
from personahub.render.terminal import TerminalUI

if TYPE_CHECKING:
    from personahub.pipeline import Forgotten


def lineage(
    persona: Annotated[str, typer.Argument(metavar="PERSONA_ID")],
    config: Files = None,
    sets: Sets = None,
    verbose: Verbose = False,
) -> None:
    """Where a persona comes from, relation by relation up to its document, and who was found through it."""
    from personahub import pipeline
    from personahub.render import views

    with opened(settings_of(config, sets), verbose=verbose) as (hub, ui):
        views.lineage(ui.console, pipeline.lineage(hub, persona))


def forget(
    names: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of documents or personas.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")] = False,
    purge: Annotated[bool, typer.Option("--purge", help="Remove their text from every table and file, for good.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: Files = None,
    sets: Sets = None,
    verbose: Verbose = False,
) -> None:
    """Take down documents or personas, and everything that derives only from them: not kept, not shown, not bought again."""
    from personahub import pipeline

    with opened(settings_of(config, sets), spend=not dry_run, verbose=verbose) as (hub, ui):
        if dry_run or not yes:
            _say(ui, pipeline.forget(hub, names, dry_run=True), "would go")
        if dry_run:
            return
        loss = "Their text is removed for good" if purge else "Their text stays in the tables (--purge removes it)"
        if not yes and not ui.agrees(f"{loss}. Go on? [y/N] ", "nothing was taken down"):
            raise Interrupted("nothing was taken down")
        _say(ui, pipeline.forget(hub, names, purge=purge), "taken down")


def _say(ui: TerminalUI, found: "Forgotten", what: str) -> None:
    text = f"{what}: {found.documents:,} documents, {found.personas:,} personas, {found.examples:,} examples"
    ui.say(text + (f"; {found.purged:,} rows lost their text" if found.purged else ""))
    if found.reopened:
        ui.say(f"they kept out {found.reopened:,} other personas: `personahub run dedup` decides on these again")
