"""The batches of a hub: which there are, what is due, and ending them."""

from collections.abc import Sequence

from personahub.config import Config
from personahub.errors import ConfigError
from personahub.inference.batches import tables
from personahub.inference.batches.purchase import cancel_and_collect
from personahub.inference.batches.states import BatchState
from personahub.llm.batches import NEEDS_SDK, is_installed
from personahub.stages.stage import Stage
from personahub.storage.hub import Hub

WINDOW_HOURS = 24.0  # in which an endpoint promises to end a batch


def can_be_bought(config: Config, chosen: Sequence[Stage]) -> None:
    """Raises ConfigError where a stage asks a model in batches, and the package for it is missing."""
    asked = {one.alias for stage in chosen for one in stage.models(config)}
    if any(config.models[alias].batch.enabled for alias in asked) and not is_installed():
        raise ConfigError(NEEDS_SDK)


def batches(hub: Hub) -> list[BatchState]:
    """All batches, as they were when a run looked last; the first submitted first."""
    return tables.states(hub.store)


def cancel_batches(hub: Hub, names: Sequence[str] = ()) -> list[BatchState]:
    """End open batches, those whose id begins with one of `names` or all, and keep what they have answered; returns them as they ended.

    Raises ConfigError for a name that no open batch has.
    """
    waiting = [one for one in tables.states(hub.store) if one.is_open]
    for name in names:
        if not any(one.batch_id.startswith(name) for one in waiting):
            raise ConfigError(f"no open batch has an id that begins with {name!r}: `personahub batches` lists them")
    chosen = [one for one in waiting if not names or one.batch_id.startswith(tuple(names))]
    return cancel_and_collect(hub, chosen) if chosen else []


def sentences(hub: Hub) -> list[str]:
    """For status: what waits where, for how long, and when it is due."""
    waiting: dict[tuple[str, str, str], list[BatchState]] = {}
    for one in batches(hub):
        if one.is_open:
            waiting.setdefault((one.stage, one.model, one.base_url), []).append(one)
    return [
        f"{stage}: {len(found):,} batches with {sum(one.requests for one in found):,} requests are at {base_url} (model {model}), the "
        f"oldest for {hours(found[0].age_s)}, {due(found[0])}: `personahub run {stage}` collects them"
        for (stage, model, base_url), found in waiting.items()
    ]


def due(state: BatchState) -> str:
    """When an open batch should end."""
    left = WINDOW_HOURS * 3600 - state.age_s
    return f"due in {hours(left)}" if left > 0 else f"overdue for {hours(-left)}"


def hours(seconds: float) -> str:
    """Minutes below an hour."""
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
