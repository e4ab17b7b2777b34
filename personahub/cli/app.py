"""The commands. Each loads the config, opens the hub, makes one call of the pipeline and prints what came of it.

PySpark and the pipeline are imported inside the commands that need them: `--help` and `mock-server` do without.
"""

import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
import yaml

from personahub import __version__
from personahub.cli.batches import batches
from personahub.cli.check_models import check_models
from personahub.cli.dedup import dedup
from personahub.cli.endpoints import local_model, mock_server
from personahub.cli.lineage import forget, lineage
from personahub.cli.options import Files, Sets, Verbose, opened, settings_of, stages_help
from personahub.cli.reviews import import_verdicts, sample_examples
from personahub.cli.runs import runs
from personahub.errors import PersonahubError
from personahub.render.terminal import new_console
from personahub.text import printable

app = typer.Typer(
    name="personahub",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they print local variables, and one of those may be a key
    help="Web text -> personas -> synthetic data, on PySpark and Delta Lake (arXiv 2406.20094).",
    epilog="Exit codes: 0 done, 1 a bug, 2 config or usage, 3 done but for calls that failed transiently, 4 budget, 5 endpoint or key, "
    "6 the root is in use, 130 interrupted.",
)
imports = typer.Typer(no_args_is_help=True, help="Bring in personas from a file, or the verdicts of experts.")
app.add_typer(imports, name="import")
samples = typer.Typer(no_args_is_help=True, help="Write a sheet of examples for experts to judge.")
app.add_typer(samples, name="sample")
app.add_typer(batches, name="batches")
imports.command("verdicts")(import_verdicts)
samples.command("examples")(sample_examples)
app.command()(dedup)


Stages = Annotated[
    list[str] | None,
    typer.Argument(metavar="STAGE", help=f"None named: all, in this order.\n\n{stages_help()}"),
]
Rebuild = Annotated[bool, typer.Option("--rebuild", help="dedup: delete all decisions on duplicates and decide again.")]
Of = Annotated[Literal["personas", "examples"], typer.Option("--of", help="dedup: what it compares.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Buy without asking.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False) -> None:
    pass


@app.command()
def run(
    stages: Stages = None,
    config: Files = None,
    sets: Sets = None,
    yes: Yes = False,
    rebuild: Rebuild = False,
    of: Of = "personas",
    verbose: Verbose = False,
) -> None:
    """Run stages. Most ask an LLM, which costs money: the sum is shown first, and agreed to once.

    What is in the ledger is not bought again, and what a stopped run left is taken up.
    """
    from personahub import pipeline
    from personahub.render import views

    settings = settings_of(config, sets)
    chosen = pipeline.check(settings, stages or (), of=of)
    with opened(settings, yes=yes, spend=True, verbose=verbose) as (hub, ui):
        for result in pipeline.run(hub, chosen, rebuild=rebuild, of=of):
            views.result(ui.console, result)


@app.command()
def validate(stages: Stages = None, config: Files = None, sets: Sets = None) -> None:
    """Print the whole configuration as it would hold, or what is wrong with it, and which stages cannot run with it.

    Stages that are named must be able to run.
    """
    from personahub import pipeline

    settings = settings_of(config, sets)
    if stages:
        pipeline.check(settings, stages)
    typer.echo(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True), nl=False)
    typer.echo(f"valid (fingerprint {settings.fingerprint})", err=True)
    for stage, why in pipeline.refusals(settings).items():
        typer.echo(printable(f"{stage} cannot run yet: {why}"), err=True)


@app.command()
def estimate(stages: Stages = None, config: Files = None, sets: Sets = None, verbose: Verbose = False) -> None:
    """What the stages would buy now: the exact number of missing calls, tokens from a sample, dollars. Buys nothing."""
    from personahub import pipeline
    from personahub.render import hops, views

    settings = settings_of(config, sets)
    chosen = pipeline.check(settings, stages or pipeline.buying(), spend=False)
    with opened(settings, verbose=verbose) as (hub, ui):
        views.estimates(ui.console, pipeline.estimates(hub, chosen))
        if "persona-to-persona" in chosen and settings.persona_to_persona.hops:
            hops.forecast(ui.console, pipeline.forecast(hub))


@app.command()
def preview(
    stage: Annotated[str, typer.Argument(metavar="STAGE", help=f"A stage that buys answers.\n\n{stages_help(answers=True)}")],
    n: Annotated[int, typer.Option("-n", min=1, help="How many requests.")] = 3,
    config: Files = None,
    sets: Sets = None,
    yes: Yes = False,
    verbose: Verbose = False,
) -> None:
    """Buy the answers of a few requests and show them beside the exact prompts; a later run reuses them.

    Asks before it buys what these need first, as the personas of examples.
    """
    from personahub import pipeline
    from personahub.render import views

    settings = settings_of(config, sets)
    with opened(settings, yes=yes, spend=True, verbose=verbose) as (hub, ui):
        views.previews(ui.console, pipeline.preview(hub, stage, n))


@app.command()
def status(config: Files = None, sets: Sets = None, verbose: Verbose = False) -> None:
    """The funnel from documents to examples, rejects by reason, tokens, dollars, utilisation, and what is missing."""
    from personahub import pipeline
    from personahub.render import hops, views

    settings = settings_of(config, sets)
    with opened(settings, verbose=verbose) as (hub, ui):
        views.status(ui.console, pipeline.status(hub), settings.catalog or settings.root, pipeline.progress(hub))
        views.validity(ui.console, pipeline.validity(hub))
        hops.hops(ui.console, pipeline.hop_report(hub))


app.command()(runs)
app.command()(forget)
app.command()(lineage)
app.command("check-models")(check_models)
app.command("mock-server")(mock_server)
app.command("local-model")(local_model)


@imports.command("personas")
def import_personas(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="jsonl, jsonl.gz, jsonl.zst or parquet")],
    column: Annotated[str, typer.Option(help="The column that holds the description.")] = "persona",
    config: Files = None,
    sets: Sets = None,
    verbose: Verbose = False,
) -> None:
    """Personas that exist already become hop-0 rows. Buys nothing."""
    from personahub import pipeline
    from personahub.render import views

    settings = settings_of(config, sets)
    source = pipeline.personas_file(str(file), column)
    with opened(settings, spend=True, verbose=verbose) as (hub, ui):
        views.result(ui.console, pipeline.import_personas(hub, source))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the corpus and the tables go.")] = Path("demo-hub"),
    model: Annotated[bool, typer.Option("--model", help="A small real model answers, for a few of the texts.")] = False,
    verbose: Verbose = False,
) -> None:
    """Everything once, in a minute, on forty short texts and a simulated endpoint: no key, no cost."""
    from personahub.cli import walkthrough

    (walkthrough.with_model if model else walkthrough.demo)(out, new_console(), verbose=verbose)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; ends the process with the exit code that `personahub.errors` names."""
    exit_on_error(lambda: app(args=None if arguments is None else list(arguments), prog_name="personahub"))


def exit_on_error(command: Callable[[], object]) -> None:
    """Run `command`; what it raises on purpose becomes a message and an exit code, anything else a traceback and 1."""
    try:
        command()
    except PersonahubError as error:
        if type(error) is PersonahubError:  # nothing more special: it should not have happened
            sys.stderr.write(printable(traceback.format_exc()))
        _complain(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _complain("interrupted: what was answered is kept; run again to go on")
        sys.exit(130)
    except Exception as error:
        if trouble := _of_the_place(error):
            _complain(f"{trouble}: what was done before is kept; mend that and run again to go on")
            sys.exit(2)
        engines = sys.modules.get("personahub.engines")
        ended = engines and engines.why_it_ended()
        if ended:
            _complain(f"{ended}: what was done before is kept; run again to go on")
            sys.exit(1)
        sys.stderr.write(printable(traceback.format_exc()))
        _complain("personahub did not expect this: please report it with the lines above (--verbose shows the engine's log, too)")
        sys.exit(1)


def _of_the_place(error: Exception) -> str:
    """Where a folder is full, or cannot be written or read: the line that says so, by whichever library."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.strerror}: {error.filename}"
    found = re.search(
        r"[^\n]*(No space left on device|Disk quota exceeded|Read-only file system|Permission denied)[^\n]*", str(error)
    )
    return found[0].strip()[:300] if found else ""


def _complain(text: str) -> None:
    new_console(stderr=True).print(text, style="red", markup=False, soft_wrap=True)
