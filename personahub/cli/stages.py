"""Stages one after the other, each told as it ends."""

from collections.abc import Sequence

from personahub import pipeline
from personahub.cli import views
from personahub.cli.console import TerminalUI
from personahub.errors import TransientFailures


def run(hub: pipeline.Hub, stages: Sequence[str], ui: TerminalUI) -> None:
    """Raises TransientFailures only after the last stage: those behind it work on what there is. Any other error ends the run."""
    failed = []
    for stage in stages:
        try:
            for result in pipeline.run(hub, [stage]):
                views.result(ui.console, result)
        except TransientFailures as error:
            failed.append(f"{stage}: {error}")
    if failed:
        raise TransientFailures("\n".join(failed))
