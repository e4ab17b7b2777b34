"""What a run that died has paid for: its journals go into the ledger before anything is asked again."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pyarrow as pa

from personahub.config import Config
from personahub.errors import ConfigError
from personahub.inference.chat_work import completions_batch
from personahub.inference.vector_work import embeddings_batch
from personahub.llm import journal
from personahub.storage.delta import Store

PORTION = 8192  # rows that are saved together: vectors are large


def drain_journals(store: Store, config: Config) -> int:
    """What a killed run has paid for goes into `completions` and `embeddings`; returns how many rows were saved."""
    folder = journal_folder(store, config)
    if folder is None or not Path(folder).is_dir():
        return 0
    saved = 0
    portion: list[journal.Row] = []
    for rows in chain(journal.read_files(folder), [None]):
        portion += rows or []
        if portion and (rows is None or len(portion) >= PORTION):
            answers = [row for row in portion if journal.KEY in row]
            saved += save_answers(store, answers)
            vectors = [row for row in portion if journal.KEY_OF_VECTOR in row]
            same = [journal.KEY_OF_VECTOR, "model"]
            saved += _save(store, "embeddings", journal.KEY_OF_VECTOR, same, vectors, embeddings_batch)
            portion = []
    journal.forget_all(folder)
    return saved


def save_answers(store: Store, rows: list[journal.Row]) -> int:
    """Rows of `completions` that are not there yet; how many that were."""
    return _save(store, "completions", journal.KEY, [journal.KEY], rows, completions_batch)


def _save(
    store: Store,
    table: str,
    key: str,
    same: list[str],
    rows: list[journal.Row],
    batch: Callable[[list[journal.Row]], pa.RecordBatch],
) -> int:
    """`same`: the columns by which the table may hold a final row already. A journal may outlive its window's commit by a moment."""
    if not rows:
        return 0
    store.create(table)
    left = store.spark.createDataFrame(pa.Table.from_batches([batch(journal.once(rows, key))]))
    known = store.table(table)
    final = left.where("final").join(known.where("final"), on=same, how="left_anti")
    failed = left.where("not final").join(known, on=[key, "created_at"], how="left_anti")
    new = store.materialise(final.unionByName(failed), "journal")
    saved = new.count()
    store.append(new, table)
    store.drop_scratch("journal")
    return saved


def journal_folder(store: Store, config: Config) -> str | None:
    """Where the journal may live: `inference.journal_path`, else the root if it is a mounted path."""
    if config.inference.journal == "off":
        return None
    if config.inference.journal_path:
        return str(Path(config.inference.journal_path).absolute())
    return None if store.catalog or "://" in store.root else f"{store.root}/_journal"


def lease_folder(config: Config) -> str:
    """Where the lease lies: the root, or beside the journal where the root is no mounted path."""
    if config.catalog is None and "://" not in config.root:
        return str(Path(config.root).absolute())
    if config.inference.journal_path:
        return str(Path(config.inference.journal_path).absolute())
    raise ConfigError(
        "tables in a catalog or behind a URI need inference.journal_path: a mounted folder for the lease, which keeps two runs "
        "from buying the same, and for the journal (for example a Unity Catalog volume)"
    )
