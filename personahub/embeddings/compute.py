"""Vectors that need not be bought: what the ledger lacks is computed here, and committed window by window like purchases."""

import math

from pyspark.sql import functions as F

from personahub import engines
from personahub.embeddings import local
from personahub.embeddings.pending import VectorBatch
from personahub.errors import RootInUse
from personahub.inference.pending import pending_scratch
from personahub.inference.windows import MAX_WINDOWS, WindowLayout, windows_of, write_windows
from personahub.storage.hub import Hub

# what a kill costs; fewer are not worth a task of their own: on Spark, loading the model in another process
TEXTS_PER_WINDOW, TEXTS_PER_TASK = 4096, 64


def compute_vectors(hub: Hub, batch: VectorBatch) -> int:
    """Rows of `embeddings` for the texts without one; returns how many. Raises RootInUse."""
    store, config, settings, name = hub.store, hub.config, batch.settings, batch.stage
    known = store.table("embeddings").where(F.col("final") & (F.col("model") == local.key_of(settings)))
    pending = batch.texts.select("text_id", "text").join(known.select("text_id"), on="text_id", how="left_anti")
    scratch = pending_scratch(name, batch.purpose)
    pending = store.materialise(pending, scratch)
    count = pending.count()
    if count:
        store.create("embeddings")
        windows = min(MAX_WINDOWS, max(1, count // max(TEXTS_PER_WINDOW, config.inference.requests_per_commit)))
        room = engines.tasks_per_window(store.spark, config) * config.inference.concurrent_windows
        tasks = max(1, min(room, math.ceil(count / windows / TEXTS_PER_TASK)))
        layout = WindowLayout(windows, tasks, in_flight=1, max_open=1)
        staged = write_windows(store, f"{name}.windows", pending, "text_id", layout)
        with store.one_file_per_task():
            for window in windows_of(store, staged, layout):
                if hub.lease is not None and (why := hub.lease.lost):
                    raise RootInUse(f"{why}; what was computed before is in `embeddings`")
                rows = store.window(staged.name, staged.schema, window)
                store.append(local.compute(rows, settings, batch.stage, batch.purpose, hub.run_id), "embeddings")
    store.drop_scratch(scratch, f"{name}.windows")
    return count
