"""Opening a hub: its engine, its lease if it may spend, and what a killed run has left behind."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime, timezone

from personahub import engines
from personahub.config import Config
from personahub.errors import Interrupted
from personahub.inference import drain_journals, lease_folder
from personahub.storage.delta import Store
from personahub.storage.hub import Hub, Silent, UserInterface
from personahub.storage.lease import Lease


@contextmanager
def open_hub(config: Config, ui: UserInterface | None = None, *, spend: bool = False, verbose: bool = False) -> Iterator[Hub]:
    """The hub of `config`. With `spend` its lease is held (RootInUse) and what a run that died has paid for is saved first.

    A session that was active before has its own settings again at the end. Ctrl-C within ends what the engine is at and raises Interrupted;
    while answers are bought, what is in flight ends first (see `inference.buy`).
    """
    ui = ui or Silent()
    run_id = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
    try:
        with Lease(lease_folder(config), run_id) if spend else nullcontext() as lease:
            spark = engines.open_session(config, verbose=verbose)
            store = Store(spark, config)
            hub = Hub(spark, store, config, run_id, ui, lease)
            with engines.with_settings(spark, engines.RUNTIME), engines.interruptible(spark):
                if spend:
                    store.drop_all_scratch()
                    saved = drain_journals(store, config)
                    if saved:
                        ui.say(f"{saved} answers of a run that died were saved from its journal")
                try:
                    yield hub
                except BaseException:
                    if spend:
                        with suppress(Exception):  # what ended the run must reach the user; the next run drops what is left
                            store.drop_all_scratch()
                    raise
                if spend:
                    store.drop_all_scratch()
    except KeyboardInterrupt:
        raise Interrupted("interrupted: what was answered is kept; run again to go on") from None
