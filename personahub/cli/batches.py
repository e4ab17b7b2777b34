"""`personahub batches`: what is at a Batch API, and ending it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from personahub.cli.options import Files, Sets, Verbose, opened, settings_of
from personahub.render.views import new_table, plain

if TYPE_CHECKING:
    from personahub.inference.batches.states import BatchState

batches = typer.Typer(invoke_without_command=True, help="List the batches that were given to a Batch API, or end them.")


@batches.callback()
def list_batches(context: typer.Context, config: Files = None, sets: Sets = None, verbose: Verbose = False) -> None:
    """The batches that were given to a Batch API, as they were when a run looked last, and when they are due. Asks no endpoint."""
    from personahub import pipeline

    if context.invoked_subcommand is None:
        with opened(settings_of(config, sets), verbose=verbose) as (hub, ui):
            view(ui.console, pipeline.batches(hub))


@batches.command("cancel")
def cancel(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Batches, by the beginning of their ids; none: all.")
    ] = None,
    config: Files = None,
    sets: Sets = None,
    verbose: Verbose = False,
) -> None:
    """End open batches at their endpoint. What they have answered by then is paid for, and kept; the rest is pending again."""
    from personahub import pipeline

    with opened(settings_of(config, sets), spend=True, verbose=verbose) as (hub, ui):
        ended = pipeline.cancel_batches(hub, ids or ())
        if ended:
            view(ui.console, ended)
        else:
            plain(ui.console, "no batch is open")


def view(console: Console, found: "Sequence[BatchState]") -> None:
    """A line for each batch; its state in the endpoint's word, as far as ours says no more."""
    from personahub.inference.batches.states import COLLECTED, RUNNING
    from personahub.pipeline.batches import due, hours

    if not found:
        plain(console, "no batch has been submitted here: models.<alias>.batch: true buys in batches")
        return
    table = new_table("batch", "stage", "model", ">requests", ">done", ">failed", "state", "age")
    for one in found:
        state = one.provider_status if one.provider_status and one.state in (RUNNING, COLLECTED) else one.state
        counts = (f"{one.requests:,}", f"{one.completed:,}", f"{one.failed:,}")
        table.add_row(
            one.short, one.stage, one.model, *counts, state, hours(one.age_s) + (f", {due(one)}" if one.is_open else "")
        )
    console.print(table)
