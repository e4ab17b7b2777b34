"""The stage `documents`: pages of the configured corpus become rows. Buys nothing."""

from personahub import documents
from personahub.stages.runner import insert_all
from personahub.stages.stage import Counts, Stage, without_purchases
from personahub.storage.hub import Hub

NAME, WRITES = "documents", ("documents", "rejects")


def read(hub: Hub) -> Counts:
    """Returns how many documents and rejects are new."""
    config = hub.config.documents
    table = hub.store.read_delta(config.path) if config.format == "delta" and config.path else None
    rows = hub.store.materialise(documents.read(hub.spark, config, table), "documents.read")
    if why := documents.why_nothing(rows):
        hub.ui.say(f"{NAME}: {why}")
    return insert_all(hub, WRITES, documents.split(rows, hub.run_id))


STAGE = Stage(
    name=NAME,
    about="reads a corpus: each page becomes a document, or a reject with its reason",
    writes=WRITES,
    rounds=without_purchases(read),
    check=lambda config: documents.check(config.documents),
)
