"""What was found about endpoints, on a terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from personahub.pipeline.endpoints import Endpoint


def view(console: Console, checked: "Sequence[Endpoint]") -> None:
    """A block for each entry of `models`: what was asked of it and what was found."""
    for one in checked:
        console.print(Text.assemble((one.alias, "bold"), f": {one.model.model} at {one.model.base_url}", overflow="fold"))
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for what, found in (("answers", one.says if one.kind is None else f"no: {one.says}"), *one.rows):
            table.add_row(Text(f"  {what}", style="dim"), Text(found, overflow="fold"))
        console.print(table)
        console.print()
