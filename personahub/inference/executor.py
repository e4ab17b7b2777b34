"""The one bridge between Spark and `llm`: staged requests in, rows of a ledger out, one `mapInArrow` (docs/architecture/paid-calls.md).

What is asked for, answers or vectors, is `TaskPlan.work` (work.py).

The paid plan is narrow: a scan of one window, this, an append. Nothing may be sorted, joined, counted or shown on it.
"""

import asyncio
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import DataFrame, SparkSession

from personahub.config import Model
from personahub.errors import AuthenticationError
from personahub.inference.work import Work
from personahub.llm import journal
from personahub.llm.channels import Client
from personahub.llm.governor import Governor, Limits
from personahub.llm.governor_server import ONLY_THE_DRIVER, Address, HttpLink, Link, LocalLink, fetch_secret, reachable
from personahub.llm.keys import read_key
from personahub.llm.scheduler import Scheduler
from personahub.llm.types import Grant, Outcome, Report

BACKLOG = 512  # requests a task holds beyond those in flight
YIELD_EVERY = 0.5  # seconds


@dataclass(frozen=True)
class PoolMember:
    """The model at one endpoint, and how that is asked: endpoints of a pool may honour different things."""

    model: Model
    work: Work


@dataclass(frozen=True)
class TaskPlan:
    """What a task must know to make its calls. It travels in the closure, so it never holds the key, only where to read it."""

    stage: str
    purpose: str
    run_id: str
    model: Model
    members: tuple[PoolMember, ...]  # the pool of the model, in its order
    limits: Limits  # of one task, used where there is no governor
    governor: Address | None = None
    journal_folder: str | None = None

    @property
    def work(self) -> Work:
        """For what does not depend on who answers."""
        return self.members[0].work


@dataclass(frozen=True)
class ExecutorProbe:
    """What holds on the executors; each is true only if every task said so."""

    governed: bool
    journaled: bool
    key_problem: str | None


def answer(rows: DataFrame, plan: TaskPlan, window: int) -> DataFrame:
    """The staged rows of one window -> rows of `plan.work.table`. A row that was not asked for is not there.

    However the engine cuts the window into tasks, a task works on the rows that it is given, and each is given to one.
    """
    return rows.mapInArrow(partial(_answer, plan, window), plan.work.schema)


def probe_executors(
    spark: SparkSession, model: Model, governor: Address | None, journal_folder: str | None, nonce: str, tasks: int
) -> ExecutorProbe:
    """Asks the executors, before anything is spent: is the driver in reach, is the journal's folder shared, is the key there?"""
    columns = "governed boolean, journaled boolean, key_problem string"
    ask = partial(_probe, model, governor, journal_folder, nonce)
    said = spark.range(0, tasks, 1, tasks).mapInArrow(ask, columns).collect()
    return ExecutorProbe(
        governed=all(row.governed for row in said),
        journaled=all(row.journaled for row in said),
        key_problem=next((row.key_problem for row in said if row.key_problem), None),
    )


# -- on the executors -------------------------------------------------------------------------------------------------------------------


def _probe(
    model: Model, governor: Address | None, folder: str | None, nonce: str, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    for _ in batches:
        pass
    try:
        for member in model.pool:
            _read_key(member, governor)
        problem = None
    except AuthenticationError as error:
        problem = str(error)
    governed = governor is not None and asyncio.run_coroutine_threadsafe(reachable(governor), _loop()).result()
    journaled = folder is not None and journal.shares_folder(folder, nonce)
    row = {"governed": [governed], "journaled": [journaled], "key_problem": [problem]}
    schema = pa.schema([("governed", pa.bool_()), ("journaled", pa.bool_()), ("key_problem", pa.string())])
    yield pa.RecordBatch.from_pydict(row, schema=schema)


def _answer(plan: TaskPlan, window: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    staged = (batch.to_pylist() for batch in batches if batch.num_rows)
    first = next(staged, None)
    if first is None:
        return
    attempt = _attempt_at(window)
    if attempt.is_retry:
        _fence(plan, attempt)
    journaled = _Journaled(plan, attempt)
    folder, max_outcomes = plan.journal_folder, plan.work.outcomes_at_once
    writer = None if folder is None else journal.Writer(folder, plan.stage, window, attempt.task, attempt.number)
    try:
        scheduler = _start(plan, attempt, writer)
        for calls in plan.work.calls(map(journaled.missing, chain([first], staged))):
            yield from _batches(plan, journaled.drain())
            if scheduler.stopped:
                continue  # read the input to its end, start nothing
            scheduler.offer(calls)
            while scheduler.backlog() > BACKLOG and not scheduler.stopped:
                yield from _batches(plan, scheduler.take(YIELD_EVERY, max_outcomes)[0])
        yield from _batches(plan, journaled.drain())
        scheduler.close_input()
        ended = False
        while not ended:
            rows, ended = scheduler.take(YIELD_EVERY, max_outcomes)
            yield from _batches(plan, rows)
    finally:
        if writer is not None:
            writer.close()


@dataclass(frozen=True)
class _TaskAttempt:
    """Spark's names for a task and this attempt at it. Another engine gives none: it retries no task, and each gets a random name."""

    window: int
    task: str
    number: int = 0
    is_retry: bool = False  # an earlier attempt may have bought something, or may be alive
    task_is_known: bool = False  # earlier attempts journaled under the same task

    @property
    def name(self) -> str:
        """The task's, to the governor."""
        return f"{self.window}/{self.task}"


def _attempt_at(window: int) -> _TaskAttempt:
    context = TaskContext.get()
    if context is None:
        return _TaskAttempt(window, uuid.uuid4().hex[:12])
    return _TaskAttempt(
        window, str(context.partitionId()), context.taskAttemptId(), context.attemptNumber() > 0, task_is_known=True
    )


class _Journaled:
    """The journal's rows of a window: those of this task's staged rows are handed on, and what they answer is not asked again."""

    def __init__(self, plan: TaskPlan, attempt: _TaskAttempt) -> None:
        self._key = plan.work.key
        self._rows: dict[str, list[journal.Row]] = {}
        self._found: list[journal.Row] = []
        if plan.journal_folder is not None:
            task = attempt.task if attempt.task_is_known else "*"
            rows = journal.read_window(plan.journal_folder, plan.stage, attempt.window, task)
            for row in journal.once(rows, self._key):
                self._rows.setdefault(row[self._key], []).append(row)

    def missing(self, staged: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The staged rows without a final row in the journal: those to ask. What the journal has of the batch is kept for `drain`."""
        if not self._rows:
            return staged
        found = {row[self._key]: self._rows.pop(row[self._key], ()) for row in staged}
        self._found += chain.from_iterable(found.values())
        return [row for row in staged if not any(one["final"] for one in found[row[self._key]])]

    def drain(self) -> list[journal.Row]:
        """The journal's rows found since the last call; failures, too, for what they cost."""
        rows, self._found = self._found, []
        return rows


def _fence(plan: TaskPlan, attempt: _TaskAttempt) -> None:
    """Before a task's journal is read, an earlier attempt that may be alive (its executor is lost, its Python worker not yet, or only
    out of the driver's reach) must start nothing more: what it buys after the reading is bought twice, and it would go on until it
    hears of this attempt. So this one reports at once, and reads once the earlier one's next report is due.
    """
    if plan.governor is None:
        return

    async def report() -> Grant | None:
        return await _link(plan).report(Report(attempt.name, attempt.number, wants=0))

    grant = asyncio.run_coroutine_threadsafe(report(), _loop()).result()
    if grant is not None and grant.stop is None:
        time.sleep(2 * grant.report_in)  # once for the report to be due, once for its way


def _start(plan: TaskPlan, attempt: _TaskAttempt, writer: journal.Writer | None) -> Scheduler:
    def record(outcome: Outcome) -> list[journal.Row]:
        rows = plan.work.rows(outcome, plan.stage, plan.purpose, plan.run_id, plan.members[outcome.endpoint].model)
        if writer is not None:
            writer.write(*rows)
        return rows

    keys = [_read_key(member.model, plan.governor) for member in plan.members]

    async def build() -> Scheduler:
        clients = [_client(member, key) for member, key in zip(plan.members, keys, strict=True)]
        loop = asyncio.get_running_loop()
        return Scheduler(clients, _link(plan), plan.model, attempt.name, attempt.number, record, loop)

    scheduler = asyncio.run_coroutine_threadsafe(build(), _loop()).result()
    scheduler.start()
    return scheduler


def _batches(plan: TaskPlan, rows: list[journal.Row]) -> Iterator[pa.RecordBatch]:
    if rows:
        yield plan.work.batch(rows)


_cache: dict[Any, Any] = {}  # one loop, one client and one link per worker process: Spark uses a process for many tasks
_cache_lock = threading.Lock()


def _cached(key: Any, make: Callable[[], Any]) -> Any:
    with _cache_lock:
        if key not in _cache:
            _cache[key] = make()
        return _cache[key]


def _loop() -> asyncio.AbstractEventLoop:
    def make() -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, name="llm", daemon=True).start()
        return loop

    return _cached(("loop", os.getpid()), make)


def _read_key(model: Model, governor: Address | None) -> str | None:
    """A secret of Databricks comes from the driver, and stays in this process. Not to be called in the loop."""

    def secret(name: str) -> str:
        if governor is None:
            raise AuthenticationError(ONLY_THE_DRIVER.format(name=name))
        loop = _loop()
        ask = lambda: asyncio.run_coroutine_threadsafe(fetch_secret(governor, name), loop).result()  # noqa: E731
        return _cached(("secret", os.getpid(), name), ask)

    return read_key(model, secret)


def _client(member: PoolMember, key: str | None) -> Client:
    of = (os.getpid(), member.model.model_dump_json(), member.work.table, member.work.client_key)
    return _cached(of, lambda: member.work.client(member.model, key))


def _link(plan: TaskPlan) -> Link:
    address = plan.governor
    if address is None:
        return LocalLink(Governor(plan.limits))
    return _cached((os.getpid(), address), lambda: HttpLink(address))
