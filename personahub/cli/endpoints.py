"""`personahub check-models` and `personahub mock-server`: a look at the real endpoints, and a simulated one."""

from enum import Enum
from typing import Annotated

import typer
from rich.console import Console

from personahub import config as configuration
from personahub.cli.options import Files, Sets


class Overflow(str, Enum):
    """What the simulated endpoint does with requests above its capacity."""

    QUEUE = "queue"
    REJECT = "429"


def check_models(config: Files = None, sets: Sets = None) -> None:
    """Ask each configured endpoint one small question: does it answer, and which response_format does it hold?"""
    from personahub.cli import models

    models.check(configuration.load(config or (), sets or ()), Console(highlight=False))


def mock_server(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8000,
    capacity: Annotated[int, typer.Option(min=1, help="Requests worked on at once.")] = 64,
    overflow: Annotated[Overflow, typer.Option(help="Above the capacity: wait in line, or answer 429.")] = Overflow.QUEUE,
    median: Annotated[float, typer.Option(min=0, help="Median latency in seconds (log-normal).")] = 0.4,
    sigma: Annotated[float, typer.Option(min=0, help="Sigma of the logarithm of the latency.")] = 0.9,
    fault_rate: Annotated[float, typer.Option(min=0, max=1, help="Share of attempts that go wrong.")] = 0.0,
    faults: Annotated[str | None, typer.Option(metavar="KIND,...", help="Which faults; none named: the usual ones.")] = None,
    rpm: Annotated[int | None, typer.Option(min=1, help="Requests admitted per minute; above it 429.")] = None,
    duplicates: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the personas in answers that come again and again.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Same seed and request, same answer and latency.")] = 0,
) -> None:
    """A simulated OpenAI-compatible endpoint on loopback, to try things on without spending. It is no model."""
    from personahub.cli import models

    kinds = {"faults": tuple(kind.strip() for kind in faults.split(","))} if faults else {}
    models.serve(
        port=port,
        capacity=capacity,
        overflow=overflow.value,
        median=median,
        sigma=sigma,
        fault_rate=fault_rate,
        rpm=rpm,
        duplicates=duplicates,
        seed=seed,
        **kinds,
    )
