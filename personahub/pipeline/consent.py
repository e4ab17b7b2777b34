"""The user agrees once to what a run may buy: the sum over its stages and rounds, an upper bound where it must be."""

from collections.abc import Sequence

from personahub.errors import Interrupted
from personahub.pipeline.preview import estimates_of
from personahub.stages.stage import Stage
from personahub.storage.hub import Estimate, Hub


def ask(hub: Hub, stages: Sequence[Stage]) -> None:
    """Show what these stages may buy at most, and record the consent. Raises Interrupted where the user declines."""
    found: list[Estimate] = []
    personas = 0  # that may come of the stages so far
    for stage in stages:
        if stage.bound is None:
            found += estimates_of(hub, stage)
        else:
            more, personas = stage.bound(hub, personas)
            found += more
    found = [one for one in found if one.units]
    if not found:
        return
    if not hub.ui.confirm(found):
        raise Interrupted("nothing was bought")
    hub.consent.agree(found)
