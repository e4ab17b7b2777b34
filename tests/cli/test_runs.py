import io
from datetime import datetime

import pytest
from rich.console import Console

from personahub.cli.runs import view
from personahub.figures import Run

ID = "20261121T212710-4f2a91c3"
AT = datetime(2026, 11, 21, 21, 27)
RUNS = (
    Run(
        ID,
        "synthesize",
        {"calls": 1_234_567, "examples": 9},
        800_000_000,
        445_000_000,
        12.5,
        7500.0,
        0.9453,
        "BudgetExceeded",
        AT,
    ),
    Run(ID, "dedup", {"kept": 150, "compared": 160}, 0, 0, 0.0, 61.0, None, "done", AT),
    Run(ID, "text-to-persona", {"reused": 0, "calls": 40}, 27_000, 395, None, 34.0, 1.0, "Interrupted", AT),
    Run(ID, "documents", {}, 0, 0, 0.0, 2.6, None, "AnalysisException", AT),
)


def printed(runs, width):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    view(console, runs)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def cells(lines):
    """The words of each line under the rule."""
    rule = next(n for n, line in enumerate(lines) if set(line) == {"─"})
    return [" ".join(line.split()) for line in lines[rule + 1 :] if line]


def test_a_line_is_all_of_a_stage():
    assert cells(printed(RUNS, 120)) == [
        "2026-11-21 21:27 4f2a91c3 synthesize 1.23M 2 h 05 min $12.50 1.25B 95% budget",
        "2026-11-21 21:27 4f2a91c3 dedup 160 1 min 01 s done",
        "2026-11-21 21:27 4f2a91c3 text-to-persona 40 34 s price unknown 27.4k 100% interrupted",
        "2026-11-21 21:27 4f2a91c3 documents 3 s AnalysisException",
    ]


def test_the_same_on_80_columns():
    lines = printed(RUNS[:3], 80)
    assert cells(lines) == [
        "11-21 21:27 4f2a synthesize 1.23M 2h05m $12.50 1.25B 95% budget",
        "11-21 21:27 4f2a dedup 160 1m01s done",
        "11-21 21:27 4f2a text-to-persona 40 34s unknown 27.4k 100% interrupted",
    ]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_it_fits_the_terminal(width):
    assert max(map(len, printed(RUNS, width))) <= width


def test_nothing_has_run_yet():
    assert printed((), 80) == ["no run has been recorded here yet"]
