"""`personahub dedup`: near-duplicates out of any file, without a hub."""

from typing import Annotated, Literal

import typer

from personahub.cli.options import Files, Sets, Verbose, settings_of
from personahub.errors import ConfigError
from personahub.render.terminal import new_console


def dedup(
    input: Annotated[
        str | None, typer.Argument(metavar="INPUT", help="parquet, jsonl(.gz) or Delta: a file, a folder, a glob.")
    ] = None,
    text_column: Annotated[str, typer.Option(metavar="COLUMN", help="The column that holds the texts.")] = "persona",
    id_column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Distinct ids, the least is kept; none: a hash of the text.")
    ] = None,
    out: Annotated[str | None, typer.Option(metavar="DIR", help="Where kept, duplicates and rejects go.")] = None,
    method: Annotated[Literal["exact", "minhash"] | None, typer.Option(help="exact: every pair; minhash: the paper's.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Jaccard similarity (with --vectors: cosine) of a duplicate.")] = None,
    ngram: Annotated[int | None, typer.Option(help="Words (or characters) in a token.")] = None,
    unit: Annotated[Literal["word", "character"] | None, typer.Option(help="What tokens are made of.")] = None,
    vectors: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Compare the vectors in this column, and not the texts.")
    ] = None,
    format: Annotated[Literal["parquet", "delta"], typer.Option(help="Of the results.")] = "parquet",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are in DIR.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Only show what the settings mean: what is found, and what may be missed.")
    ] = False,
    audit: Annotated[
        bool, typer.Option("--audit", help="Afterwards, prove the invariants on what was written; exit 1 if one is broken.")
    ] = False,
    config: Files = None,
    sets: Sets = None,
    verbose: Verbose = False,
) -> None:
    """Near-duplicates out of any file: every row is kept, or a duplicate of a kept one, or a reject with its reason. Buys nothing."""
    from personahub.render import deduplication as views

    console = new_console()
    if vectors is not None and (method, ngram, unit) != (None, None, None):
        raise ConfigError("--method, --ngram and --unit are about words; with --vectors none are compared")
    flags = {
        "dedup.lexical.method": method,
        "dedup.lexical.ngram": ngram,
        "dedup.lexical.unit": unit,
        f"dedup.{'lexical' if vectors is None else 'semantic'}.threshold": threshold,
    }
    given = [f"{key}={value}" for key, value in flags.items() if value is not None]
    settings = settings_of(config, [*(sets or ()), *given])
    if explain:
        views.explanation(console, settings.dedup, vectors is not None)
        return
    if input is None or out is None:
        missing = "what to read: personahub dedup INPUT --out DIR" if input is None else "where the results go: --out DIR"
        raise ConfigError(f"name {missing}")

    from personahub.dedup_tool import files

    request = files.Request(input, out, text_column, id_column, vectors, format, overwrite, audit)
    with views.progress(console) as report:
        summary = files.run(request, settings, report, verbose=verbose)
    views.summary(console, summary, request, settings.dedup)
    if any(not finding.holds for finding in summary.findings):
        raise typer.Exit(1)
