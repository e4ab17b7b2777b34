"""The tables of batches: `batches`, a row for each change of a batch's state, and `batch_requests`, what was asked in it."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub import schemas
from personahub.inference.batches.requests import Line
from personahub.inference.batches.states import OPEN, BatchState, latest
from personahub.storage.delta import Store


def states(store: Store) -> list[BatchState]:
    """Every batch as it stands, the first submitted first."""
    if not store.exists("batches"):
        return []
    rows = store.table("batches").withColumn("created_at", F.unix_micros("created_at")).collect()
    return latest(BatchState(**row.asDict(), submitted_at=row.created_at) for row in rows)


def record(store: Store, state: BatchState) -> BatchState:
    """Append the row of a new state."""
    values = asdict(state) | {"created_at": datetime.fromtimestamp(state.created_at / 1e6, timezone.utc)}
    store.record([[values[name] for name in schemas.BATCHES.names]], "batches")
    return state


def record_requests(store: Store, batch_id: str, lines: Sequence[Line]) -> None:
    rows = []
    for line in lines:
        call = line.call
        asked = (call.completion_id, call.source_id, call.sample_index, call.prompt_name)
        rows.append((batch_id, *asked, len(line.content), line.bad_answers))
    store.record(rows, "batch_requests")


def requests_of(store: Store, *batches: BatchState) -> DataFrame:
    """The rows of `batch_requests` of these batches."""
    return store.table("batch_requests").where(F.col("batch_id").isin([one.batch_id for one in batches]))


def enqueued(store: Store) -> DataFrame | None:
    """The completion_ids of what is in open batches, and so counts as asked; None where there are none."""
    waiting = [one for one in states(store) if one.state in OPEN]
    return requests_of(store, *waiting).select("completion_id").distinct() if waiting else None


def open_batches(store: Store, requests: DataFrame | None = None) -> list[BatchState]:
    """The open batches, or those of them that hold any of these requests."""
    waiting = [one for one in states(store) if one.is_open]
    if not waiting or requests is None:
        return waiting
    held = requests_of(store, *waiting).join(requests.select("completion_id"), on="completion_id", how="left_semi")
    names: set[Any] = {row.batch_id for row in held.select("batch_id").distinct().collect()}
    return [one for one in waiting if one.batch_id in names]
