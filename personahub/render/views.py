"""What commands print: results, estimates, previews, the state of a hub. Corpus text is data and never read as markup."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from personahub.render.terminal import by_kind, dollars, duration, percent

if TYPE_CHECKING:
    from personahub.figures import Ledger, Lineage, RefusedSample, Samples, Status, Step, Validity
    from personahub.pipeline import Preview, StageResult
    from personahub.storage.hub import Estimate


FIELD = 400  # characters of a field that are shown


def result(console: Console, result: "StageResult") -> None:
    """One line: what a stage did."""
    counts = ", ".join(f"{name} {count:,}" for name, count in result.counts.items()) or "nothing to do"
    tokens = result.prompt_tokens + result.completion_tokens
    paid = f"; {tokens:,} tokens, {dollars(result.cost_usd)}" if tokens else ""
    console.print(Text.assemble((result.stage, "bold"), f": {counts}{paid}; {duration(result.seconds)}"), soft_wrap=True)


def estimates(console: Console, estimates: "Sequence[Estimate]") -> None:
    """A line for each stage, or for each of its purposes where it has several."""
    table = new_table("stage", ">calls", ">in the ledger", ">~tokens in", ">~tokens out", ">~$")
    purposes = Counter(one.stage for one in estimates)
    named: set[str] = set()
    for one in estimates:
        label = one.stage
        if purposes[one.stage] > 1:
            if one.stage not in named:
                table.add_row(one.stage)
            named.add(one.stage)
            label = f"  {one.purpose}"
        price = "?" if one.cost_usd is None and one.calls else dollars(one.cost_usd or 0.0)
        table.add_row(label, *figures(one.calls, one.reused, one.prompt_tokens, one.completion_tokens), price)
    if estimates:
        console.print(table)
    for one in filter(lambda one: one.calls, estimates):
        texts = f"vectors of {one.texts:,} texts, in requests of several" if one.texts else ""
        prices = "in_mtok_cost" if one.texts else "in_mtok_cost and out_mtok_cost"
        notes = [texts, one.note, f"no prices: set models.<alias>.{prices}" if one.cost_usd is None else ""]
        for note in filter(None, notes):
            plain(console, f"{_named(one)}: {note}")


def _named(one: "Estimate") -> str:
    return f"{one.stage}, {one.purpose}"


def validity(console: Console, found: "Mapping[str, Validity]") -> None:
    """Of what experts have read; nothing where they read nothing."""
    for task, one in found.items():
        between = f"{percent(one.low)} to {percent(one.high)} at 95 % confidence"
        plain(console, f"{task}: experts found {one.valid:,} of {one.read:,} examples valid, {one.rate:.1%} ({between})")


def lineage(console: Console, found: "Lineage") -> None:
    """The way up, from the document to the persona, and the tree below it."""
    for way in found.ways:
        tree = branch = Tree(_step(way[-1]))
        for step in reversed(way[:-1]):
            branch = branch.add(_step(step))
        console.print(tree)
    if found.taken_down:
        plain(console, "taken down", style="red")
    if found.duplicate_of:
        plain(console, f"a duplicate of {found.duplicate_of}")
    if found.below:
        root = Tree(Text("found through it", style="bold"))
        at = {found.ways[0][0].id: root}
        for one in found.below:
            label = Text.assemble((f"{one.relation}: ", "cyan"), short(one.text, 120), (f"  {one.id}", "dim"))
            if one.duplicate_of:
                label.append(f"  duplicate of {one.duplicate_of}", style="yellow")
            at[one.id] = at.get(one.parent_id, root).add(label)
        console.print(root)
        if found.more:
            plain(console, f"and {found.more:,} more")


def _step(step: "Step") -> Text:
    if step.hop is None:
        return Text.assemble((step.id, "bold"), f"  {step.url or ''}\n", (short(step.text, 160), "dim"))
    relation = f" {step.relation}" if step.relation else ""
    return Text.assemble((f"hop {step.hop}{relation}: ", "cyan"), short(step.text, 160), (f"  {step.id}", "dim"))


def previews(console: Console, previews: "Sequence[Preview]") -> None:
    for number, one in enumerate(previews, start=1):
        plain(console, f"{number}. {one.source_id}", style="bold")
        for message in one.messages:
            console.print(Panel(Text(message["content"]), title=Text(message["role"]), title_align="left"))
        if one.text is not None:
            console.print(Panel(Text(one.text), title="answer", title_align="left", border_style="green"))
        if one.error is not None:
            plain(console, f"not usable: {one.error}", style="red")
        plain(console, f"{one.prompt_tokens:,} tokens in, {one.completion_tokens:,} out, {dollars(one.cost_usd)}\n")
    if not previews:
        plain(console, "nothing to preview: this stage finds no input; run the stages before it first")


def status(console: Console, status: "Status", where: str, progress: Sequence[str] = ()) -> None:
    """The funnel, what was refused, the ledger, what the stages took, and what is missing. progress: what a run would still do."""
    plain(console, where, style="bold")
    funnel = new_table("hub", ">rows", "")
    funnel.add_row(
        "documents", *figures(status.documents), f"{status.refused:,} refused (pages and files)" if status.refused else ""
    )
    hops = ", ".join(f"hop {hop}: {rows:,}" for hop, rows in status.personas_by_hop.items())
    funnel.add_row("personas", *figures(status.personas), hops)
    if status.duplicates_by_method:
        duplicates = dict(status.duplicates_by_method)
        funnel.add_row("duplicates", *figures(sum(duplicates.values())), by_kind(duplicates))
    funnel.add_row("kept", *figures(status.kept), "")
    funnel.add_row("examples", *figures(status.examples), by_kind(dict(status.examples_by_task)))
    if status.example_duplicates:
        funnel.add_row("near-duplicates of them", *figures(status.example_duplicates), "")
    console.print(funnel)
    if status.rejects:
        rejects = new_table("refused at", "reason", ">rows")
        for reject in status.rejects:
            rejects.add_row(reject.stage, reject.reason, *figures(reject.rows))
        console.print(rejects)
    bought = [stage for stage in status.stages if stage.attempts]
    if bought:
        ledger = new_table("bought for", ">answers", ">no use", ">missing", ">tries", ">tokens")
        for stage in bought:
            ledger.add_row(stage.stage, *_ledger_row(stage))
            if len(stage.purposes) > 1:
                for purpose, one in stage.purposes.items():
                    ledger.add_row(f"  {purpose or '(older runs)'}", *_ledger_row(one), style="dim")
        console.print(ledger)
    if status.stages:
        console.print(_took(status))
    for sentence in _tokens(bought):
        plain(console, sentence)
    for sentence in [*_missing(status), *progress] or [
        "nothing is known to be missing (`personahub estimate` counts what is left to buy)"
    ]:
        plain(console, sentence)


def _ledger_row(stage: "Ledger") -> list[str]:
    useless = sum((stage.not_answered or {}).values())
    tokens = stage.prompt_tokens + stage.completion_tokens
    return figures(stage.answered, useless, stage.missing, stage.attempts, tokens)


def _took(status: "Status") -> Table:
    """Time and dollars of all runs, a stage a line; a probe takes its time within the stage that asks for it."""
    table = new_table("stage", ">time", ">$", ">utilisation (last run)")
    for stage in status.stages:
        time = "" if stage.status is None else duration(stage.seconds)
        table.add_row(stage.stage, time, dollars(stage.cost_usd) if stage.attempts else "", percent(stage.utilisation))
    if len(status.stages) > 1:
        table.add_section()
        table.add_row("all", duration(sum(stage.seconds for stage in status.stages)), dollars(status.cost_usd), "")
    return table


def _tokens(bought: Sequence["Ledger"]) -> list[str]:
    """What providers read from their caches, and where tokens, and so dollars, are not what they told."""
    sentences = []
    for stage in bought:
        if stage.cached_tokens:
            cached = percent(stage.cached_tokens / stage.prompt_tokens)
            sentences.append(f"{stage.stage}: {cached} of the prompt tokens came from the provider's cache")
        if stage.estimated:
            sentences.append(
                f"{stage.stage}: the endpoint did not tell all tokens of {stage.estimated:,} calls: an upper estimate stands for "
                "them, in dollars too"
            )
    return sentences


def _missing(status: "Status") -> list[str]:
    """What is missing, and what to do about it, in sentences."""
    sentences = []
    for stage in status.stages:
        if stage.not_answered:
            sentences.append(f"{stage.stage}: final, but of no use: {by_kind(dict(stage.not_answered))}")
        if stage.missing:
            kinds = by_kind({kind or "unknown": count for kind, count in (stage.missing_because or {}).items()})
            sentences.append(f"{stage.stage}: {stage.missing:,} calls failed transiently ({kinds}): run again to ask for those")
        if stage.status not in (None, "done"):
            sentences.append(f"{stage.stage}: its last run ended with {stage.status}")
    return sentences


def samples(console: Console, samples: "Samples") -> None:
    for one in samples.personas:
        body = Text.assemble((one.persona, "bold"), "\n\n", (short(one.excerpt or "(imported)", 300), "dim"))
        console.print(Panel(body, title=Text(f"{one.relation}: {one.document_id}"), title_align="left"))
    for example in samples.examples:
        content = example.content
        fields = content.items() if isinstance(content, Mapping) else [("content", content)]
        shown = [(name, value) for name, value in fields if value and not name.endswith("_ids")]
        lines = [part for name, value in shown for part in ((f"\n{name}: ", "bold"), _value(value))]
        console.print(Panel(Text.assemble((example.persona, "dim"), *lines), title=Text(example.task), title_align="left"))


def refused(console: Console, samples: "Sequence[RefusedSample]") -> None:
    """Answers that became nothing, each with the reason."""
    table = new_table("refused at", "reason", "what was answered")
    for one in samples:
        reason = f"{one.reason}: {short(one.detail, 80)}" if one.detail else one.reason
        table.add_row(one.stage, *(Text(cell, overflow="fold") for cell in (reason, short(one.text or "", 160))))
    console.print(table)


def _value(value: Any) -> str:
    """A field of an example; of a list, an entry a line; of a conversation, a turn a line."""
    if isinstance(value, list):
        return "".join(f"\n  {_value(entry)}" for entry in value)
    if isinstance(value, Mapping):
        if value.keys() == {"role", "content"}:
            return f"{value['role']}: {short(value['content'], FIELD)}"
        return short("; ".join(f"{name}: {part}" for name, part in value.items()), FIELD)
    return value if "\n" in str(value) and len(str(value)) <= FIELD else short(str(value), FIELD)


def short(text: str, characters: int) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= characters else one_line[:characters].rstrip() + " ..."


def new_table(*columns: str) -> Table:
    """`>` sets a column flush right: figures."""
    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left", overflow="fold")
    return table


def figures(*figures: int) -> list[str]:
    return [f"{figure:,}" for figure in figures]


def plain(console: Console, text: str, style: Any = None) -> None:
    console.print(text, style=style, markup=False, soft_wrap=True)
