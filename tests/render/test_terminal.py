import dataclasses
import io
import sys
import time

import pytest
from rich.console import Console

from personahub.errors import ConfigError
from personahub.llm.governor import Snapshot
from personahub.render import terminal as terminal
from personahub.render.terminal import TerminalUI, compact, dollars, duration, line, panel, percent
from personahub.render.views import new_table
from personahub.storage.hub import Estimate

ESTIMATE = Estimate("synthesize", "examples", 1200, 30, 400_000, 200_000, 0.18, "big", "https://llm.example.com/v1", "a note")
NOW = Snapshot(
    done=120,
    total=1000,
    failed=2,
    requests=140,
    requests_per_minute=1234.4,
    tokens_per_minute=98765.4,
    cost_usd=0.0123,
    errors={"server": 3, "rate_limit": 11},
    in_flight=63,
    wanted=63,
    limit=64,
    eta_s=95.0,
    stop=None,
)


def paper(width: int = 80, **kwargs) -> Console:
    return Console(file=io.StringIO(), width=width, height=24, highlight=False, **kwargs)


def test_no_text_moves_the_cursor_or_colours_what_follows():
    console = terminal.new_console(file=io.StringIO(), width=80, force_terminal=True)
    evil = "red \x1b]0;owned\x07\x1b[31m\x9b2J baker"
    console.print(evil, markup=False)
    table = new_table("a", "b")
    table.add_row(evil, "c")
    console.print(table)
    TerminalUI(console).say(evil)
    with console.status("x"):
        pass
    said = console.file.getvalue()
    assert "\x1b]0" not in said
    assert "\x1b[31m" not in said
    assert "\x07" not in said
    assert "red ]0;owned[31m2J baker" in said


def test_the_live_panel_prints_no_control_characters():
    console = terminal.new_console(file=io.StringIO(), width=80, force_terminal=True)
    stopped = dataclasses.replace(NOW, stop="blocked \x1b]0;owned\x07")
    with TerminalUI(console).watch("synthesize", 10, lambda: stopped):
        pass
    assert "blocked ]0;owned" in console.file.getvalue()
    assert "\x1b]0" not in console.file.getvalue()


def ask(monkeypatch, answer: str) -> tuple[bool, str]:
    """What confirm gives on a terminal where somebody types `answer`, and what it wrote."""
    keyboard = io.StringIO(answer)
    keyboard.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", keyboard)
    console = paper(force_terminal=True, color_system=None)
    return TerminalUI(console).confirm([ESTIMATE]), console.file.getvalue()


@pytest.mark.parametrize(("answer", "agreed"), [("y\n", True), ("YES\n", True), ("\n", False), ("n\n", False), ("yep\n", False)])
def test_on_a_terminal_it_asks(monkeypatch, answer, agreed):
    assert ask(monkeypatch, answer)[0] is agreed


def test_it_says_what_it_is_about_to_buy(monkeypatch):
    offer = (
        "synthesize: about to buy 1,200 calls for examples (~600,000 tokens, ~$0.1800) from big at https://llm.example.com/v1; "
    )
    assert offer + "30 answers are in the ledger already (a note)\n" in ask(monkeypatch, "y\n")[1]


def test_yes_is_not_asked():
    console = paper()
    assert TerminalUI(console, yes=True).confirm([ESTIMATE])
    assert "about to buy 1,200 calls" in console.file.getvalue()


def test_without_a_terminal_yes_is_needed():
    with pytest.raises(ConfigError, match="--yes is needed"):
        TerminalUI(paper()).confirm([ESTIMATE])


def test_nothing_to_buy_is_not_asked():
    assert TerminalUI(paper()).confirm([Estimate("synthesize", "examples", 0, 30, 0, 0, 0.0)])


def test_one_line_tells_it_all():
    assert line("synthesize", NOW) == (
        "synthesize: 120/1,000, 1,234 requests/min, 98,765 tokens/min, $0.0123, in flight 63/64, "
        "errors: rate_limit 11, server 3, not answered: 2, ETA 1 min 35 s"
    )
    assert "price unknown" in line("synthesize", NOW, priced=False)


def test_a_stage_that_stops_says_why_and_promises_no_end():
    stopping = dataclasses.replace(NOW, stop="interrupted")
    assert line("synthesize", stopping).endswith("not answered: 2, stopping: interrupted")


def test_an_endpoint_that_is_out_is_told_until_the_stage_stops():
    out = dataclasses.replace(NOW, out="http://a has been out for 9 s (refused)")
    console = paper(width=120)
    console.print(terminal.panel("synthesize", out))
    assert "http://a has been out for 9 s (refused)" in console.file.getvalue()
    assert terminal.line("synthesize", out).endswith(", http://a has been out for 9 s (refused)")
    assert terminal.line("synthesize", dataclasses.replace(out, stop="it is gone")).endswith(", stopping: it is gone")


def test_the_panel_fits_a_narrow_terminal():
    console = paper(width=40)
    console.print(panel("synthesize", NOW))
    shown = console.file.getvalue()
    assert max(len(row) for row in shown.splitlines()) <= 40
    words = " ".join(shown.replace("│", " ").split())
    for part in (
        "120 of 1,000 requests, 2 not answered, about 1 min 35 s left",
        "63 in flight (limit 64)",
        "errors: rate_limit 11, server 3",
    ):
        assert part in words


def test_where_there_is_no_terminal_it_writes_plain_lines(monkeypatch):
    monkeypatch.setattr(terminal, "PLAIN_SECONDS", 0.02)
    console = paper(width=20)
    with TerminalUI(console).watch("synthesize", 1000, lambda: NOW):
        time.sleep(0.1)
    lines = console.file.getvalue().splitlines()
    assert len(lines) >= 2
    assert set(lines) == {line("synthesize", NOW)}  # not broken at the console's width


def test_a_short_stage_is_told_once():
    console = paper()
    with TerminalUI(console).watch("synthesize", 1000, lambda: NOW):
        pass
    assert console.file.getvalue().splitlines() == [line("synthesize", NOW)]


def test_on_a_terminal_there_is_a_panel():
    console = paper(force_terminal=True)
    with TerminalUI(console).watch("synthesize", 1000, lambda: NOW):
        pass
    assert "120 of 1,000 requests" in console.file.getvalue()


@pytest.mark.parametrize(
    ("usd", "text"), [(0.0, "$0.00"), (0.00042, "$0.0004"), (0.5, "$0.5000"), (1234.5, "$1,234.50"), (None, "price unknown")]
)
def test_dollars(usd, text):
    assert dollars(usd) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (61, "1 min 01 s"), (3599, "59 min 59 s"), (3660, "1 h 01 min"), (90000, "25 h 00 min")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("figure", "text"),
    [(0, "0"), (9_999, "9,999"), (27_395, "27.4k"), (999_499, "999k"), (999_500, "1M"), (1_245_000_000, "1.25B")],
)
def test_compact(figure, text):
    assert compact(figure) == text


@pytest.mark.parametrize(("share", "text"), [(None, ""), (0.004, "0%"), (0.9453, "95%"), (1.0, "100%")])
def test_percent(share, text):
    assert percent(share) == text
