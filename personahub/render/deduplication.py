"""What `personahub dedup` prints. Texts are data and never read as markup."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from personahub.config import Dedup, LexicalDedup
from personahub.errors import ConfigError
from personahub.render.terminal import duration
from personahub.render.views import new_table, plain, short

if TYPE_CHECKING:  # PySpark stays out of `personahub --help`
    from personahub.dedup.proof.audit import Finding
    from personahub.dedup.proof.neighbours import Neighbours
    from personahub.dedup_tool.files import Request, Summary
    from personahub.dedup_tool.frame import Counts
    from personahub.figures import Group

TEXT = 160  # characters of a text
CURVE = 40  # characters of a probability of 1
SMALL = 0.005  # a probability that is not shown
SIZES = (5, 9, 10, 15, 19, 20, 25, 30, 40, 60)  # words in a persona, mostly


@contextmanager
def progress(console: Console) -> Iterator[Callable[[str], None]]:
    """On a terminal a spinner says what is being done; elsewhere nothing does."""
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("") as status:
        yield lambda text: status.update(escape(text))


def summary(console: Console, summary: "Summary", request: "Request", config: Dedup) -> None:
    """Figures, the largest groups, what was measured, and where it all is."""
    counts = summary.counts
    console.print(funnel(counts, request, config))
    if summary.neighbours is not None:
        plain(console, recall(summary.neighbours, config, request.vector_column is not None))
    if summary.groups:
        groups(console, summary.groups)
    if summary.findings:
        findings(console, summary.findings)
    places(console, request, counts, summary.seconds)


def funnel(counts: "Counts", request: "Request", config: Dedup) -> Table:
    """Rows in, who went at which step, rows kept."""
    lexical = f"lexical ({config.lexical.method}, Jaccard >= {config.lexical.threshold:g})"
    semantic = f"semantic (cosine >= {config.semantic.threshold:g})"
    steps = {"identical": "identical sets of words", config.lexical.method: lexical}
    if request.vector_column is not None:
        steps = {"semantic": semantic}
    shown = new_table("", ">rows", ">share")

    def row(name: str, rows: int) -> None:
        shown.add_row(name, f"{rows:,}", f"{rows / counts.rows:.2%}")

    row("read", counts.rows)
    for reason, rows in counts.rejects.items():
        row(f"rejected: {reason}", rows)
    for method, name in steps.items():
        row(name, counts.duplicates.get(method, 0))
    row("kept", counts.kept)
    return shown


def recall(found: "Neighbours", config: Dedup, vectors: bool) -> str:
    """A sentence."""
    from personahub.dedup.kernels import minhash

    what, expected = "vectors" if vectors else "texts", ""
    if not vectors:
        lexical = config.lexical
        bands, rows = minhash.choose_bands(lexical.threshold, lexical.num_perm, lexical.min_recall)
        expected = f"; {bands} bands of {rows} find {minhash.recall(lexical.threshold, bands, rows):.4%} at the threshold"
    share = f" ({1 - found.missed / found.with_neighbours:.4%})" if found.with_neighbours else ""
    measured = f"{found.with_neighbours:,} have a near-duplicate, {found.missed:,} kept beside a kept one{share}"
    return f"recall, measured on {found.drawn:,} {what}: {measured}{expected}"


def groups(console: Console, groups: "Sequence[Group]") -> None:
    plain(console, f"\nthe {'largest groups' if len(groups) > 1 else 'only group'}", style="bold")
    for number, group in enumerate(groups, start=1):
        console.print(
            Text.assemble((f"{number:>2}. ", "dim"), (f"represents {group.size:,}: ", "bold"), _text(group.text, group.id)),
            soft_wrap=True,
        )
        for member in group.members:
            console.print(
                Text.assemble((f"      {member.score:.4f} {member.method}  ", "dim"), _text(member.text, member.id)),
                soft_wrap=True,
            )
        if not group.members:
            plain(console, "      all with this very text", style="dim")


def findings(console: Console, findings: "Sequence[Finding]") -> None:
    plain(console, "\nthe audit, on what was written", style="bold")
    for finding in findings:
        mark = ("holds ", "green") if finding.holds else ("BROKEN", "bold red")
        console.print(Text.assemble(mark, f"  {finding.claim}: {finding.figures}"), soft_wrap=True)
    bad = sum(not finding.holds for finding in findings)
    broken = f"{bad} of {len(findings)} claims {'is' if bad == 1 else 'are'} broken"
    plain(console, broken if bad else f"all {len(findings)} claims hold")


def places(console: Console, request: "Request", counts: "Counts", seconds: float) -> None:
    out = request.out.rstrip("/")
    rejects = f", {out}/rejects" if counts.rejects else ""
    load = f'spark.read.format("{request.format}").load("{out}/kept")'
    load = f'pandas.read_parquet("{out}/kept"), {load}' if request.format == "parquet" and "://" not in out else load
    plain(console, f"\n{duration(seconds)}. Results: {out}/kept, {out}/duplicates{rejects}\nLoad them: {load}")
    if request.id_column is None:
        plain(
            console,
            "Ids are made from the texts: personahub.ids.persona_id(text), with -1, -2, ... on further rows of the same text",
        )


def _text(text: str | None, id: object) -> str:
    return short(text, TEXT) if text else f"(no text, id {id})"


# -- --explain -------------------------------------------------------------------------------------------------------------------------


def explanation(console: Console, config: Dedup, vectors: bool) -> None:
    """What the settings mean, before anything is read."""
    if vectors:
        semantic = config.semantic
        where = "as many as the root of their number" if semantic.clusters == "auto" else f"{semantic.clusters:,}"
        plain(console, f"semantic: a duplicate has cosine >= {semantic.threshold:g} with a kept row, computed in float64")
        plain(
            console,
            f"vectors are compared in {where} clusters, each in its own and in those whose boundary is near: {semantic.probes} on average",
        )
        plain(
            console, "pairs without a common cluster are missed; a run measures how many, on a sample compared with all vectors"
        )
        return
    lexical = config.lexical
    tokens = f"single {lexical.unit}s" if lexical.ngram == 1 else f"runs of {lexical.ngram} {lexical.unit}s"
    plain(
        console,
        f"{lexical.method}: sets of {tokens}; a duplicate has Jaccard >= {lexical.threshold:g} with a kept row, computed exactly",
    )
    if lexical.method == "minhash":
        _bands(console, lexical)
    else:
        plain(console, "every such pair is found: recall 1 by proof")
    _differences(console, lexical)


def _bands(console: Console, config: LexicalDedup) -> None:
    from personahub.dedup.kernels import minhash

    try:
        bands, rows = minhash.choose_bands(config.threshold, config.num_perm, config.min_recall)
    except ValueError as error:
        raise ConfigError(f"dedup.lexical: {error}") from None
    found = minhash.recall(config.threshold, bands, rows)
    why = f"the longest bands that find a pair at {config.threshold:g} with at least {config.min_recall:g} (min_recall): {found:.6f}"
    plain(console, f"{config.num_perm} permutations in {bands} bands of {rows} values, {why}")
    shown = new_table(">Jaccard", ">found", "")
    for jaccard in sorted({step / 20 for step in range(1, 21)} | {config.threshold}):
        probability = minhash.recall(jaccard, bands, rows)
        if probability >= SMALL:
            mark = " <- threshold" if jaccard == config.threshold else ""
            shown.add_row(f"{jaccard:.3g}", f"{probability:.5f}", "#" * round(CURVE * probability) + mark)
    console.print(shown)
    plain(console, "what is found below the threshold costs a comparison and is never taken for a duplicate")


def _differences(console: Console, config: LexicalDedup) -> None:
    """What the threshold means for texts of some sizes."""
    from personahub.dedup.kernels.jaccard import min_overlaps

    name = f"{config.unit}s" if config.ngram == 1 else "tokens"
    shown = new_table(f">different {name}", ">replaced", ">or more", ">or fewer")
    for size in SIZES:
        needed = min_overlaps(size + int(size / config.threshold) + 1, config.threshold)
        partners = [other for other in range(1, len(needed) - size) if needed[size + other] <= min(size, other)]
        same = size - min(size, needed[2 * size])
        shown.add_row(str(size), *(str(figure) for figure in (same, partners[-1] - size, size - partners[0])))
    plain(console, f"\nof how many {name} a duplicate may differ from the row that is kept:")
    console.print(shown)
