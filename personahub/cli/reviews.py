"""`personahub sample examples` and `personahub import verdicts`: what experts read, and what they found."""

import getpass
from pathlib import Path
from typing import Annotated

import typer

from personahub.cli.options import Files, Sets, Verbose, opened, settings_of
from personahub.errors import InputError
from personahub.text import decoded


def sample_examples(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The CSV to write.")],
    n: Annotated[int, typer.Option("-n", min=1, help="How many examples.")] = 200,
    seed: Annotated[int, typer.Option(help="Of which ones.")] = 1,
    config: Files = None,
    sets: Sets = None,
    verbose: Verbose = False,
) -> None:
    """A sheet of examples for experts to read: they fill in `verdict` (valid or invalid) and, if they like, `note`."""
    from personahub import pipeline

    if out.exists():
        raise InputError(f"{out} is there already, and may hold verdicts: name another file")
    with opened(settings_of(config, sets), verbose=verbose) as (hub, ui):
        text = pipeline.review_sheet(hub, n, seed)
    out.write_text(text, encoding="utf-8-sig", newline="")  # with a mark by which spreadsheets know the encoding
    ui.say(f"written to {out}: fill in the column verdict, then `personahub import verdicts {out}`")


def import_verdicts(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV of `personahub sample examples` that was filled in.")],
    expert: Annotated[str | None, typer.Option(help="Who read them; not named: your user name.")] = None,
    config: Files = None,
    sets: Sets = None,
    verbose: Verbose = False,
) -> None:
    """What experts found; `status` then tells the share of valid examples, with its interval."""
    from personahub import pipeline
    from personahub.render import views

    try:
        text = decoded(file.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} can not be read: {error}") from None
    with opened(settings_of(config, sets), spend=True, verbose=verbose) as (hub, ui):
        counts = pipeline.import_verdicts(hub, text, expert or getpass.getuser())
        ui.say(f"{counts['verdicts']:,} verdicts, {counts['valid']:,} of them valid; {counts['blank']:,} rows without one")
        views.validity(ui.console, pipeline.validity(hub))
