"""What is printed of persona-to-persona: what its hops will cost, and what became of them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console

from personahub.render.terminal import compact, dollars, duration, percent
from personahub.render.views import figures, new_table, plain

if TYPE_CHECKING:
    from personahub.figures import Hop
    from personahub.pipeline import Forecast


def forecast(console: Console, hops: "Sequence[Forecast]") -> None:
    """Of persona-to-persona: a hop a line, the first one counted, the others as they are likely."""
    if not hops:
        plain(console, "nothing to buy: set persona_to_persona.hops, or every kept persona was asked already")
        return
    table = new_table("hop", ">calls", ">from", ">to", ">~tokens", ">~$", ">~time")
    for one in hops:
        price = "?" if one.cost_usd is None else dollars(one.cost_usd)
        time = "?" if one.hours is None else duration(3600 * one.hours)
        table.add_row(str(one.hop), *figures(one.calls, one.least, one.most, one.tokens), price, time)
    if len(hops) > 1:
        prices = [one.cost_usd for one in hops]
        table.add_section()
        totals = [sum(getattr(one, name) for one in hops) for name in ("calls", "least", "most", "tokens")]
        table.add_row("all", *figures(*totals), "?" if None in prices else dollars(sum(filter(None, prices))), "")
    console.print(table)
    if hops[0].note:
        plain(console, f"persona-to-persona: {hops[0].note}")


def hops(console: Console, hops: "Sequence[Hop]") -> None:
    """What became of each hop, a column each, and what had been foreseen of it; nothing where there is hop 0 alone.

    Six hops fit into 80 columns.
    """
    if len(hops) < 2:
        return
    table = new_table("hop", *(f">{one.hop}" for one in hops))

    def row(label: str, cell: Callable[["Hop"], str], *, of_asked: bool = True) -> None:
        table.add_row(label, *("" if of_asked and one.hop == 0 else cell(one) for one in hops))

    def price(usd: float | None) -> str:
        return "?" if usd is None else dollars(usd).removeprefix("$")

    row("frontier", lambda one: f"{one.frontier:,}")
    row("asked", lambda one: f"{one.asked:,}")
    row("produced", lambda one: f"{one.produced:,}")
    for reason in sorted({reason for one in hops for reason in one.refused or {}}):
        row(f"  {reason}", partial(_count_of, "refused", reason))
    row("  known already", lambda one: f"{one.same:,}")
    for method in sorted({method for one in hops for method in one.duplicates or {}}):
        row(f"  {method}", partial(_count_of, "duplicates", method), of_asked=False)
    row("kept", lambda one: f"{one.kept:,}", of_asked=False)
    row("kept / produced", lambda one: percent(one.novelty))
    row("tokens", lambda one: compact(one.tokens))
    row("$", lambda one: price(one.cost_usd))
    row("$ per 1,000 kept", lambda one: "" if one.usd_per_kept is None else price(1000 * one.usd_per_kept))
    if any(one.expected_calls is not None for one in hops):
        table.add_section()
        row("foreseen: calls", lambda one: "" if one.expected_calls is None else f"{one.expected_calls:,}")
        row("foreseen: tokens", lambda one: "" if one.expected_tokens is None else compact(one.expected_tokens))
        row("foreseen: $", lambda one: "" if one.expected_cost_usd is None else price(one.expected_cost_usd))
    console.print(table)


def _count_of(counts: str, key: str, hop: "Hop") -> str:
    return f"{(getattr(hop, counts) or {}).get(key, 0):,}"
