"""Stage what is pending, cut it into windows, buy several at once, commit each.

The seam for another backend is the one call of `executor.answer` in `run_windows`: it turns the staged rows of a window into rows of the
ledger. What a purchase asks for stands behind `work.Work`. A Batch API knows no windows: see `inference.batches`.
"""

import math
import time
import uuid
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from personahub import engines
from personahub.config import Config, Model
from personahub.errors import PersonahubError
from personahub.inference import executor
from personahub.inference.early_stop import EarlyStop, EarlyStopThread
from personahub.inference.work import Work
from personahub.llm import journal
from personahub.llm.governor import Governor
from personahub.storage.delta import Store
from personahub.storage.hub import Hub
from personahub.text import error_line

MAX_WINDOWS = 2000  # a larger stage gets larger windows
FEW_WINDOWS = 8  # enough that few places stand empty while the last window waits for its last answers
OPENING_SECONDS = 2.0  # until a window that was opened wants places


@dataclass(frozen=True, slots=True)
class WindowLayout:
    windows: int
    tasks: int  # slots of one window
    in_flight: int  # windows worked on at once
    max_open: int  # windows open at once


@dataclass(frozen=True)
class Staged:
    """A scratch table of pending rows, with window and slot."""

    name: str
    schema: T.StructType


def layout_of(store: Store, config: Config, rows: int, model: Model, work: Work, *, journaled: bool) -> WindowLayout:
    windows = max(1, rows // commit_floor(config, model, work))
    if journaled and work.rows_per_call == 1:
        # on Spark a commit costs the driver what a thousand answers cost the workers; a kill costs what is in flight, not a window
        windows = min(windows, max(FEW_WINDOWS, math.isqrt(4 * windows), windows // 16))
    windows = min(MAX_WINDOWS, windows)
    in_flight = min(config.inference.concurrent_windows, windows)
    tasks = engines.tasks_per_window(store.spark, config)
    if windows < config.inference.concurrent_windows:  # few windows: let each use the room of those that are not there
        tasks = tasks * config.inference.concurrent_windows // windows
    tasks = max(1, min(tasks, math.ceil(rows / windows / (work.rows_per_call * work.calls_per_task))))
    return WindowLayout(windows, tasks, in_flight, min(engines.most_windows(config), windows))


def commit_floor(config: Config, model: Model, work: Work) -> int:
    """Rows that are committed together, at least. Vectors: as many texts as fill all places."""
    fills_all_places = model.places * work.rows_per_call if work.rows_per_call > 1 else 0
    return max(config.inference.requests_per_commit, fills_all_places)


def write_windows(store: Store, name: str, rows: DataFrame, key: str, layout: WindowLayout) -> Staged:
    """Write pending rows to scratch, with window and slot from the id in column `key`: one file a slot."""

    def part(start: int, of: int) -> Any:
        return (F.conv(F.substring(key, start, 8), 16, 10).cast("long") % of).cast("int")

    rows = rows.withColumn("window", part(1, layout.windows)).withColumn("slot", part(9, layout.tasks))
    files = min(layout.windows * layout.tasks, 64)
    store.materialise(rows.repartition(files, "window", "slot"), name, partition_by=("window", "slot"))
    return Staged(name, rows.schema)


def run_windows(
    hub: Hub,
    plan: executor.TaskPlan,
    staged: Staged,
    layout: WindowLayout,
    governor: Governor,
    early_stop: EarlyStop | None = None,
) -> Exception | None:
    """Returns the error that was no answer of the endpoint, if there was one; what is in flight is committed all the same.

    `layout.in_flight` windows are worked on at once. Where all of them only wait for their last slow answers and places are left
    empty, one more is opened, up to `layout.max_open`; but not without a journal, where a kill costs what the open windows hold.
    """
    store, lease = hub.store, hub.lease

    def buy(window: int) -> None:
        if governor.stop is None:
            rows = store.window(staged.name, staged.schema, window)
            store.append(executor.answer(rows, plan, window), plan.work.table, commit=f"{commits}/{window}")
            if plan.journal_folder is not None:
                journal.forget_window(plan.journal_folder, plan.stage, window)
        if governor.stop is None and early_stop is not None:
            checks.put(window)

    commits = f"{plan.run_id}/{plan.stage}/{uuid.uuid4().hex}"
    failure: Exception | None = None
    windows = list(windows_of(store, staged, layout))
    waiting = deque(windows)
    running: set[Future[None]] = set()
    opened = 0.0
    checks = EarlyStopThread(early_stop, windows, lambda window: store.window(staged.name, staged.schema, window), governor)
    max_open = layout.in_flight if plan.journal_folder is None else layout.max_open
    with ThreadPoolExecutor(max_open, thread_name_prefix="window") as pool:
        while running or (waiting and governor.stop is None):
            # no window starts far ahead of the early-stop check: it may be paid for and not needed
            while (
                waiting
                and checks.behind < layout.in_flight
                and (len(running) < layout.in_flight or (len(running) < max_open and _places_are_empty(governor, opened)))
            ):
                running.add(pool.submit(buy, waiting.popleft()))
                opened = time.monotonic()
            if not running:
                time.sleep(0.1)  # for the check
            done, running = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in done:
                error = future.exception()
                if error is not None and failure is None:
                    failure = error if isinstance(error, Exception) else PersonahubError(str(error))
                    governor.drain(f"a window failed: {engines.why_it_ended() or error_line(str(error))}", "failure")
            if lease is not None and (why := lease.lost) and governor.stop is None:
                governor.drain(why, "lease")
    unchecked = checks.end()  # always: the tables that the thread reads are dropped next
    return failure or unchecked


def _places_are_empty(governor: Governor, opened: float) -> bool:
    now = governor.snapshot()
    # a window that was opened just now, and before the first answer all of them, may just not have started
    return time.monotonic() - opened > OPENING_SECONDS and now.done > 0 and now.wanted < now.limit


def windows_of(store: Store, staged: Staged, layout: WindowLayout) -> Iterator[int]:
    """Those that hold rows: hashing may leave one empty."""
    if layout.windows == 1:
        yield 0
        return
    rows = store.scratch(staged.name, staged.schema).select("window").distinct().collect()
    yield from sorted(row.window for row in rows)
