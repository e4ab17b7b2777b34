"""The stage `documents`: pages of the configured corpus become rows. Buys nothing."""

from pyspark.sql import functions as F

from personahub import documents
from personahub.stages.runner import insert_all
from personahub.stages.stage import Counts, Stage, without_purchases
from personahub.storage.hub import Hub

NAME, WRITES = "documents", ("documents", "rejects")


def read(hub: Hub) -> Counts:
    """Returns how many documents and rejects are new."""
    config = hub.config.documents
    table = hub.store.read_delta(config.path) if config.format == "delta" and config.path else None
    with hub.store.scope(NAME) as materialise:
        read = materialise(documents.read(hub.spark, config, table), "read")
        rows = documents.refuse_taken(read, hub.store.table("documents"), materialise)
        if why := documents.why_nothing(rows):
            hub.ui.say(f"{NAME}: {why}")
        elif rows is not read:
            count = rows.where(F.col("reason") == "id_taken").count()
            hub.ui.say(f"{NAME}: {count:,} texts are left out, rejects id_taken: {documents.HINT}")
        pages, rejects = documents.split(rows, hub.run_id)
        rejects = documents.with_ids_of_their_own(rejects, hub.store.table("rejects"), materialise)
        return insert_all(hub, WRITES, (pages, rejects))


STAGE = Stage(
    name=NAME,
    about="reads a corpus: each page becomes a document, or a reject with its reason",
    writes=WRITES,
    rounds=without_purchases(read),
    check=lambda config: documents.check(config.documents),
)
