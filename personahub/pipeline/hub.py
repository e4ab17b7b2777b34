"""The opened hub: what a stage works with, under the root's lease if it may spend."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from pyspark.sql import SparkSession

from personahub import engines
from personahub.buy import Buyer, Estimate, drain_journals, lease_folder
from personahub.config import Config
from personahub.errors import Interrupted
from personahub.lease import Lease
from personahub.store import Store


class Silent:
    """A user interface for jobs and notebooks: buys without asking, prints what must be known."""

    def confirm(self, estimate: Estimate) -> bool:
        return True

    def watch(self, stage: str, total: int, snapshot: Callable[[], Any]) -> Any:
        return nullcontext()

    def say(self, text: str) -> None:
        print(text, flush=True)  # noqa: T201


@dataclass(frozen=True)
class Hub:
    """What a stage works with. `lease` is there only where the hub was opened to spend."""

    spark: SparkSession
    store: Store
    config: Config
    run_id: str
    ui: Buyer
    lease: Lease | None = None


@contextmanager
def open_hub(config: Config, ui: Buyer | None = None, *, spend: bool = False, verbose: bool = False) -> Iterator[Hub]:
    """The hub of `config`. With `spend` its lease is held (RootInUse) and what a run that died has paid for is saved first.

    Ctrl-C within ends what the engine is at and raises Interrupted; while answers are bought, what is in flight ends first (see `buy`).
    """
    ui = ui or Silent()
    run_id = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
    try:
        with Lease(lease_folder(config), run_id) if spend else nullcontext() as lease:
            spark = engines.open_session(config, verbose=verbose)
            store = Store(spark, config)
            hub = Hub(spark, store, config, run_id, ui, lease)
            with engines.interruptible(spark):
                if spend:
                    store.drop_all_scratch()
                    saved = drain_journals(store, config)
                    if saved:
                        ui.say(f"{saved} answers of a run that died were saved from its journal")
                try:
                    yield hub
                finally:
                    if spend:
                        store.drop_all_scratch()
    except KeyboardInterrupt:
        raise Interrupted("interrupted: what was answered is kept; run again to go on") from None
