"""`personahub runs`: what each stage of each run took, newest first."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from personahub.cli.options import Files, Sets, Verbose, opened, settings_of
from personahub.render.terminal import compact, dollars, duration, percent
from personahub.render.views import new_table, plain

if TYPE_CHECKING:
    from personahub.figures import Run

WIDE = 100  # columns from which on nothing needs to be short
# the count that tells most of a stage: the first that it has
COUNTED = ("calls", "documents", "compared", "personas", "vectors")
ENDS = {
    "Interrupted": "interrupted",
    "BudgetExceeded": "budget",
    "EndpointError": "endpoint",
    "AuthenticationError": "key refused",
    "RootInUse": "root in use",
}


def runs(
    n: Annotated[int, typer.Option("-n", min=1, help="How many lines.")] = 20,
    config: Files = None,
    sets: Sets = None,
    verbose: Verbose = False,
) -> None:
    """What each stage of each run took, newest first: time, dollars, tokens, utilisation, how it ended.

    Utilisation is the share of max_concurrent_requests that was busy while the stage bought.
    """
    from personahub import pipeline

    with opened(settings_of(config, sets), verbose=verbose) as (hub, ui):
        view(ui.console, pipeline.runs(hub, n))


def view(console: Console, runs: "Sequence[Run]") -> None:
    """A line for each stage of a run: on 80 columns, too."""
    if not runs:
        plain(console, "no run has been recorded here yet")
        return
    wide = console.width >= WIDE
    table = new_table("when", "run", "stage", ">calls\n/rows", ">time", ">$", ">tokens", ">util", "ended")
    for column in table.columns[:-1]:  # only the last may need a second line
        column.no_wrap = True
    for one in runs:
        table.add_row(*_row(one, wide))
    table.collapse_padding, table.show_edge = True, False
    unlimited = console.options.update(width=10 * WIDE)
    if console.measure(table, options=unlimited).maximum > console.width:
        table.padding = (0, 0)
    console.print(table)


def _row(run: "Run", wide: bool) -> list[str]:
    count = next((run.counts[name] for name in COUNTED if name in run.counts), None)
    tokens = run.prompt_tokens + run.completion_tokens
    price = dollars(run.cost_usd) if tokens or run.cost_usd is None else ""
    time = duration(run.seconds)
    return [
        f"{run.created_at:{'%Y-%m-%d' if wide else '%m-%d'} %H:%M}",
        run.run_id.rpartition("-")[2][: 8 if wide else 4],
        run.stage,
        "" if count is None else compact(count),
        time if wide else time.replace("min", "m").replace(" ", ""),
        price if wide else price.removeprefix("price "),
        compact(tokens) if tokens else "",
        percent(run.utilisation),
        ENDS.get(run.status, run.status),
    ]
