"""The terminal as the paid step's user interface: it asks before anything is bought and shows how the buying goes."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from personahub.errors import ConfigError
from personahub.text import printable

if TYPE_CHECKING:  # PySpark stays out of `personahub --help`
    from personahub.llm.governor import Snapshot
    from personahub.storage.hub import Estimate

PLAIN_SECONDS = 10.0  # between two lines where there is no terminal
PANEL_PER_SECOND = 4


class Printable:
    """A renderable without the control characters of its texts: a web page, an answer or a setting moves no cursor and sets no title."""

    def __init__(self, renderable: RenderableType) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


class _PrintableOnly(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [Printable(each) for each in renderables]


def new_console(**options: Any) -> Console:
    """A console that prints texts as they are, whatever they hold. options: those of rich's Console."""
    console = Console(highlight=False, **options)
    console.push_render_hook(_PrintableOnly())
    return console


class TerminalUI:
    """Asks on a terminal unless `yes`; a live panel there, elsewhere a plain line now and then."""

    def __init__(self, console: Console | None = None, *, yes: bool = False, priced: bool = True) -> None:
        self.console = console or new_console()
        self._yes = yes
        self._priced = priced

    def confirm(self, estimates: "Sequence[Estimate]") -> bool:
        """True if all of this may be bought. Raises ConfigError where there is no terminal to ask on."""
        if not any(one.units for one in estimates):
            return True
        for one in estimates:
            self.say(f"{one.stage}: about to buy {offer(one)}")
        if len(estimates) > 1:
            self.say(f"together: {together(estimates)}")
        return self._yes or self.agrees("go on? [y/N] ", "nothing was bought")

    def agrees(self, question: str, otherwise: str) -> bool:
        """The user's answer. Raises ConfigError, which says `otherwise`, where there is no terminal to ask on."""
        if not (sys.stdin.isatty() and self.console.is_terminal):
            raise ConfigError(f"{otherwise}: without a terminal to ask on, --yes is needed")
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # nothing runs that would have to end first
        try:
            return self.console.input(question, markup=False).strip().lower() in ("y", "yes")
        finally:
            signal.signal(signal.SIGINT, before)

    def leave(self) -> None:
        os._exit(130)  # not sys.exit, which waits for what is in flight

    @contextmanager
    def watch(self, stage: str, total: int, snapshot: "Callable[[], Snapshot]") -> Iterator[None]:
        if self.console.is_terminal:
            draw = lambda: Printable(panel(stage, snapshot(), self._priced))  # noqa: E731
            with Live(get_renderable=draw, console=self.console, refresh_per_second=PANEL_PER_SECOND):
                yield
            return
        ended = threading.Event()

        def write() -> None:
            while not ended.wait(PLAIN_SECONDS):
                self.say(line(stage, snapshot(), self._priced))

        writer = threading.Thread(target=write, name="progress", daemon=True)
        writer.start()
        try:
            yield
        finally:
            ended.set()
            writer.join()
            self.say(line(stage, snapshot(), self._priced))

    def say(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)


def offer(estimate: "Estimate") -> str:
    """What would be bought, where, for how much; `reused` is what the ledger holds already."""
    tokens = estimate.prompt_tokens + estimate.completion_tokens
    where = f" from {estimate.model} at {estimate.base_url}" if estimate.model else ""
    unit = "vectors" if estimate.texts else "answers"
    reused = f"; {estimate.reused:,} {unit} are in the ledger already" if estimate.reused else ""
    note = f" ({estimate.note})" if estimate.note else ""
    calls = f"{estimate.calls:,} calls"
    if estimate.texts:
        calls = f"vectors of {estimate.texts:,} texts in about {calls}"
    return f"{calls} for {estimate.purpose} (~{tokens:,} tokens, {_price(estimate.cost_usd)}){where}{reused}{note}"


def together(estimates: "Sequence[Estimate]") -> str:
    """The sum of several estimates."""
    tokens = sum(one.prompt_tokens + one.completion_tokens for one in estimates)
    costs = [one.cost_usd for one in estimates]
    price = _price(None if None in costs else sum(cost for cost in costs if cost is not None))
    return f"{sum(one.calls for one in estimates):,} calls (~{tokens:,} tokens, {price})"


def _price(cost_usd: float | None) -> str:
    return "price unknown" if cost_usd is None else f"~{dollars(cost_usd)}"


def panel(stage: str, now: "Snapshot", priced: bool = True) -> RenderableType:
    """The live panel: as wide as the terminal, five lines at most where it is wide enough."""
    eta = "" if now.eta_s is None or now.stop else f", about {duration(now.eta_s)} left"
    failed = f", {now.failed:,} not answered" if now.failed else ""
    lines: list[RenderableType] = [
        ProgressBar(total=max(1, now.total), completed=now.done),
        Text(f"{now.done:,} of {now.total:,} requests{failed}{eta}"),
        Text(
            f"{now.requests_per_minute:,.0f} requests/min, {now.tokens_per_minute:,.0f} tokens/min, {_spent(now, priced)}, "
            f"{now.in_flight} in flight (limit {now.limit})"
        ),
    ]
    if now.errors:
        lines.append(Text("errors: " + by_kind(now.errors), style="yellow"))
    if now.out and not now.stop:
        lines.append(Text(now.out, style="yellow"))
    if now.stop:
        lines.append(Text(f"stopping: {now.stop}", style="red"))
    rows = Table.grid(expand=True)  # a bar ends no line by itself
    for each in lines:
        rows.add_row(each)
    return Panel(rows, title=Text(stage), title_align="left")


def line(stage: str, now: "Snapshot", priced: bool = True) -> str:
    """The same as one plain line."""
    parts = [
        f"{stage}: {now.done:,}/{now.total:,}",
        f"{now.requests_per_minute:,.0f} requests/min",
        f"{now.tokens_per_minute:,.0f} tokens/min",
        _spent(now, priced),
        f"in flight {now.in_flight}/{now.limit}",
    ]
    parts += [f"errors: {by_kind(now.errors)}"] if now.errors else []
    parts += [f"not answered: {now.failed:,}"] if now.failed else []
    parts += [f"ETA {duration(now.eta_s)}"] if now.eta_s is not None and not now.stop else []
    parts += [now.out] if now.out and not now.stop else []
    parts += [f"stopping: {now.stop}"] if now.stop else []
    return ", ".join(parts)


def _spent(now: "Snapshot", priced: bool) -> str:
    return dollars(now.cost_usd) if priced else "price unknown"


def by_kind(counts: "dict[str, int]") -> str:
    return ", ".join(f"{kind} {count:,}" for kind, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def dollars(usd: float | None) -> str:
    """Small sums keep their digits: $0.0004."""
    if usd is None:
        return "price unknown"
    return f"${usd:,.2f}" if usd >= 1 or usd == 0 else f"${usd:.4f}"


def percent(share: float | None) -> str:
    """Nothing where there is no share to tell."""
    return "" if share is None else f"{share:.0%}"


def compact(figure: int) -> str:
    """Whole below 10,000, then three digits: 1.23M."""
    if figure < 10_000:
        return f"{figure:,}"
    unit, size = ("k", 1e3) if figure < 999_500 else ("M", 1e6) if figure < 999_500_000 else ("B", 1e9)
    return f"{figure / size:.3g}{unit}"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, hours = divmod(round(seconds), 60)[0], round(seconds) // 3600
    return f"{hours} h {minutes - hours * 60:02d} min" if hours else f"{minutes} min {round(seconds) % 60:02d} s"
