import io
import time
from dataclasses import replace

from rich.console import Console

from personahub.cli.batches import view
from personahub.inference.batches.states import COLLECTED, RUNNING, SUBMITTING, BatchState

HOUR = 3600 * 1_000_000


def printed(*found):
    console = Console(file=io.StringIO(), width=120, highlight=False)
    view(console, found)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines() if line.strip()]


def test_a_line_for_each_batch_with_its_age_and_when_it_is_due():
    now = int(time.time() * 1e6)
    one = BatchState(
        "0123456789abcdef", 2, RUNNING, "synthesize", "examples", "m", "u", 1200, 9, 0.1, "{}", "file", "batch", "in_progress",
        300, 2, None, "r", now, now - 2 * HOUR,
    )  # fmt: skip
    overdue = replace(one, batch_id="f" * 32, state=SUBMITTING, provider_status=None, submitted_at=now - 25 * HOUR)
    ended = replace(one, state=COLLECTED, provider_status="completed", submitted_at=now - HOUR // 2)
    assert printed(one, overdue, ended)[2:] == [
        "01234567 synthesize m 1,200 300 2 in_progress 2.0 h, due in 22.0 h",
        "ffffffff synthesize m 1,200 300 2 submitting 25.0 h, overdue for 1.0 h",
        "01234567 synthesize m 1,200 300 2 completed 30 min",
    ]


def test_a_hub_without_batches_says_how_to_buy_in_them():
    assert "models.<alias>.batch: true" in printed()[0]
