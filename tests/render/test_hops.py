import io
from dataclasses import replace

from rich.console import Console

from personahub.figures import Hop
from personahub.render import hops


def test_six_hops_fit_into_80_columns():
    one = Hop(
        1,
        2_505,
        2_505,
        2_505,
        8_123,
        {"other_language": 12},
        54,
        7_000,
        {"identical": 1_234},
        2_609,
        512_345,
        0.4121,
        2_505,
        512_000,
        0.41,
    )
    console = Console(file=io.StringIO(), width=80, highlight=False)
    hops.hops(console, [Hop(0, kept=2_447), *(replace(one, hop=hop) for hop in range(1, 7))])
    shown = console.file.getvalue()
    labels = [line.strip().split("  ")[0] for line in shown.splitlines()]
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert {"frontier", "other_language", "identical", "$ per 1,000 kept", "foreseen: tokens"} <= set(labels)
