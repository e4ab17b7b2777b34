"""Vectors that need not be bought: what the ledger lacks is computed here, and committed window by window like purchases."""

import math

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub import engines
from personahub.buy.windows import MAX_WINDOWS, Shape, stage, windows_of
from personahub.config import Config
from personahub.errors import RootInUse
from personahub.generate import local
from personahub.lease import Lease
from personahub.store import Store

# what a kill costs; fewer are not worth a task of their own: on Spark, loading the model in another process
TEXTS_PER_WINDOW, TEXTS_PER_TASK = 4096, 64


def compute_vectors(store: Store, config: Config, run_id: str, name: str, texts: DataFrame, lease: Lease) -> int:
    """Texts (persona_id, text), each id once -> rows of `embeddings` for those without one; returns how many. Raises RootInUse."""
    settings = config.dedup.semantic
    known = store.table("embeddings").where(F.col("final") & (F.col("model") == local.key_of(settings)))
    missing = texts.select("persona_id", "text").join(known.select("persona_id"), on="persona_id", how="left_anti")
    missing = store.materialise(missing, f"{name}.missing")
    count = missing.count()
    if count:
        store.create("embeddings")
        windows = min(MAX_WINDOWS, max(1, count // max(TEXTS_PER_WINDOW, config.generate.commit_every)))
        room = engines.tasks_per_window(store.spark, config) * config.generate.windows_in_flight
        shape = Shape(windows, max(1, min(room, math.ceil(count / windows / TEXTS_PER_TASK))), in_flight=1, most=1)
        staged = stage(store, f"{name}.windows", missing, "persona_id", shape)
        with store.one_file_per_task():
            for window in windows_of(store, staged, shape):
                if lease.lost.is_set():
                    raise RootInUse("another run has taken over this root; what was computed before is in `embeddings`")
                rows = store.window(staged.name, staged.schema, window)
                store.append(local.compute(rows, settings, run_id), "embeddings")
    store.drop_scratch(f"{name}.missing", f"{name}.windows")
    return count
