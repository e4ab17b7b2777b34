"""Steps 2 and 3 of buying: stage what is missing, cut it into windows, run several at once, commit each."""

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

from personahub import engines, generate
from personahub.buy.judging import Judge, Judging
from personahub.config import Config, Model
from personahub.errors import PersonahubError
from personahub.lease import Lease
from personahub.llm import journal
from personahub.llm.governor import Governor
from personahub.store import Store

MAX_WINDOWS = 2000  # a larger stage gets larger windows
FEW_WINDOWS = 8  # enough that few places stand empty while the last window waits for its last answers
CALLS_PER_TASK = 100  # fewer are not worth another task: on Spark, the start of another worker process
REQUESTS_PER_TASK = 4  # of vectors, each of many texts
OPENING_SECONDS = 2.0  # until a window that was opened wants places
Work = generate.Chats | generate.Vectors


@dataclass(frozen=True, slots=True)
class Shape:
    windows: int
    tasks: int  # slots of one window
    in_flight: int  # windows worked on at once
    most: int  # windows open at once


@dataclass(frozen=True)
class Staged:
    """A scratch table of what is missing, with window and slot."""

    name: str
    schema: T.StructType


def shape_of(store: Store, config: Config, rows: int, model: Model, work: Work, *, journaled: bool) -> Shape:
    windows = max(1, rows // commit_floor(config, model, work))
    if journaled and isinstance(work, generate.Chats):
        # on Spark a commit costs the driver what a thousand answers cost the workers; a kill costs what is in flight, not a window
        windows = min(windows, max(FEW_WINDOWS, math.isqrt(4 * windows), windows // 16))
    windows = min(MAX_WINDOWS, windows)
    in_flight = min(config.generate.windows_in_flight, windows)
    tasks = engines.tasks_per_window(store.spark, config)
    if windows < config.generate.windows_in_flight:  # few windows: let each use the room of those that are not there
        tasks = tasks * config.generate.windows_in_flight // windows
    per_task = work.texts * REQUESTS_PER_TASK if isinstance(work, generate.Vectors) else CALLS_PER_TASK
    tasks = max(1, min(tasks, math.ceil(rows / windows / per_task)))
    return Shape(windows, tasks, in_flight, min(engines.most_windows(config), windows))


def commit_floor(config: Config, model: Model, work: Work) -> int:
    """Rows that are committed together, at least. Vectors: as many texts as fill all places."""
    if isinstance(work, generate.Vectors):
        return max(config.generate.commit_every, model.max_concurrent_requests * work.texts)
    return config.generate.commit_every


def stage(store: Store, name: str, rows: DataFrame, key: str, shape: Shape) -> Staged:
    """Step 2: window and slot from the id in column `key`, one file a slot."""

    def part(start: int, of: int) -> Any:
        return (F.conv(F.substring(key, start, 8), 16, 10).cast("long") % of).cast("int")

    rows = rows.withColumn("window", part(1, shape.windows)).withColumn("slot", part(9, shape.tasks))
    files = min(shape.windows * shape.tasks, 64)
    store.materialise(rows.repartition(files, "window", "slot"), name, partition_by=("window", "slot"))
    return Staged(name, rows.schema)


def run_windows(
    store: Store,
    plan: generate.Plan,
    staged: Staged,
    shape: Shape,
    governor: Governor,
    lease: Lease,
    judge: Judge | None = None,
) -> Exception | None:
    """Step 3. Returns the error that was no answer of the endpoint, if there was one; what is in flight is committed all the same.

    `shape.in_flight` windows are worked on at once. Where all of them only wait for their last slow answers and places are left
    empty, one more is opened, up to `shape.most`; but not without a journal, where a kill costs what the open windows hold.
    """

    def one(window: int) -> None:
        if governor.stop is None:
            rows = store.window(staged.name, staged.schema, window)
            store.append(generate.answer(rows, plan, window), plan.work.table, commit=f"{commits}/{window}")
            if plan.journal_folder is not None:
                journal.forget_window(plan.journal_folder, plan.stage, window)
        if governor.stop is None and judge is not None:
            judging.put(window)

    commits = f"{plan.run_id}/{plan.stage}/{uuid.uuid4().hex}"
    failure: Exception | None = None
    windows = list(windows_of(store, staged, shape))
    waiting = deque(windows)
    pending: set[Future[None]] = set()
    opened = 0.0
    judging = Judging(judge, windows, lambda window: store.window(staged.name, staged.schema, window), governor)
    most = shape.in_flight if plan.journal_folder is None else shape.most
    with ThreadPoolExecutor(most, thread_name_prefix="window") as pool:
        while pending or (waiting and governor.stop is None):
            # no window is opened far ahead of the judge: it would be paid for what he, who is slow, may have had enough of
            while (
                waiting
                and judging.behind < shape.in_flight
                and (len(pending) < shape.in_flight or (len(pending) < most and _places_are_empty(governor, opened)))
            ):
                pending.add(pool.submit(one, waiting.popleft()))
                opened = time.monotonic()
            if not pending:
                time.sleep(0.1)  # for the judge
            done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in done:
                error = future.exception()
                if error is not None and failure is None:
                    failure = error if isinstance(error, Exception) else PersonahubError(str(error))
                    governor.drain(f"a window failed: {engines.why_it_ended() or str(error).splitlines()[0]}", "failure")
            if lease.lost.is_set() and governor.stop is None:
                governor.drain("another run has taken over this root", "lease")
    unjudged = judging.end()  # in any case: the judge must not go on reading what is dropped behind it
    return failure or unjudged


def _places_are_empty(governor: Governor, opened: float) -> bool:
    now = governor.snapshot()
    # a window that was opened just now, and before the first answer all of them, may just not have started
    return time.monotonic() - opened > OPENING_SECONDS and now.done > 0 and now.wanted < now.limit


def windows_of(store: Store, staged: Staged, shape: Shape) -> Iterator[int]:
    """Those that hold rows: hashing may leave one empty."""
    if shape.windows == 1:
        yield 0
        return
    rows = store.scratch(staged.name, staged.schema).select("window").distinct().collect()
    yield from sorted(row.window for row in rows)
