"""What a run that died has paid for: its journals go into the ledger before anything is asked again (PAID_STEP 5)."""

from pathlib import Path

import pyarrow as pa

from personahub import generate
from personahub.config import Config
from personahub.errors import ConfigError
from personahub.llm import journal
from personahub.store import Store


def drain_journals(store: Store, config: Config) -> int:
    """Step 5: what a run that died has paid for goes into `completions`; returns how many rows were saved."""
    folder = journal_folder(store, config)
    if folder is None or not Path(folder).is_dir():
        return 0
    rows = journal.once(journal.read_all(folder))
    saved = 0
    if rows:
        store.create("completions")
        left = store.spark.createDataFrame(pa.Table.from_batches([generate.completions_batch(rows)]))
        known = store.table("completions")
        # a journal may outlive its window's commit by a moment
        final = left.where("final").join(known.where("final"), on="completion_id", how="left_anti")
        failed = left.where("not final").join(known, on=["completion_id", "created_at"], how="left_anti")
        new = store.materialise(final.unionByName(failed), "journal")
        saved = new.count()
        store.append(new, "completions")
        store.drop_scratch("journal")
    journal.forget_all(folder)
    return saved


def journal_folder(store: Store, config: Config) -> str | None:
    """Where the journal may live: `generate.journal_path`, else the root if it is a mounted path."""
    if config.generate.journal == "off":
        return None
    if config.generate.journal_path:
        return str(Path(config.generate.journal_path).absolute())
    return None if store.catalog or "://" in store.root else f"{store.root}/_journal"


def lease_folder(config: Config) -> str:
    """Where the lease lies: the root, or beside the journal where the root is no mounted path."""
    if config.catalog is None and "://" not in config.root:
        return str(Path(config.root).absolute())
    if config.generate.journal_path:
        return str(Path(config.generate.journal_path).absolute())
    raise ConfigError(
        "tables in a catalog or behind a URI need generate.journal_path: a mounted folder for the lease, which keeps two runs "
        "from buying the same, and for the journal (for example a Unity Catalog volume)"
    )
