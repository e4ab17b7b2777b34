"""One purchase: what is pending is staged, cut into windows, bought with several windows in flight, and committed.

docs/architecture/paid-calls.md has the reasons, step by step.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub.config import Config, Model
from personahub.errors import (
    AuthenticationError,
    BudgetExceeded,
    EndpointError,
    ErrorKind,
    Interrupted,
    PersonahubError,
    RootInUse,
)
from personahub.inference import executor
from personahub.inference.early_stop import ENOUGH, EarlyStop
from personahub.inference.pending import pending_scratch
from personahub.inference.preflight import BUDGET_MESSAGE, ask_executors
from personahub.inference.windows import layout_of, run_windows, write_windows
from personahub.inference.work import Work
from personahub.llm.governor import Governor, Limits
from personahub.llm.retry import FATAL
from personahub.storage.delta import Store
from personahub.storage.hub import Estimate, Hub, UserInterface


@dataclass(frozen=True, slots=True)
class PurchaseResult:
    """Distinct requests, or texts that need a vector: `calls` were asked, `reused` were in the ledger, `failed` are missing still.

    skipped: how many an early stop left unasked; stop_reason: the one that it gave.
    """

    calls: int = 0
    reused: int = 0
    failed: int = 0
    skipped: int = 0
    stop_reason: str | None = None


@dataclass(frozen=True)
class Purchase:
    """`count` pending rows, which the user has agreed to buy."""

    stage: str
    purpose: str
    model: Model
    members: tuple[executor.PoolMember, ...]
    rows: DataFrame
    count: int
    limits: Limits

    @property
    def work(self) -> Work:
        return self.members[0].work

    @property
    def where(self) -> str:
        return f"{self.model.address} (model {self.model.model})"


def confirm_purchase(hub: Hub, estimate: Estimate) -> bool:
    """Did the user agree to this purchase, earlier in the run or now that it is shown?"""
    return hub.consent.covers(estimate) or hub.ui.confirm([estimate])


@contextmanager
def with_alias(config: Config, model: Model) -> Iterator[None]:
    """An error about a key says under which model it is set."""
    try:
        yield
    except AuthenticationError as error:
        raise AuthenticationError(f"models.{config.alias_of(model)}: {error}") from None


def execute_purchase(hub: Hub, purchase: Purchase, reused: int, early_stop: EarlyStop | None = None) -> PurchaseResult:
    """Buy all rows of a purchase. Raises what ended it early, after everything in flight was committed."""
    store, work, count = hub.store, purchase.work, purchase.count
    store.create(work.table)
    governor = Governor(purchase.limits, total=count)
    with ExitStack() as stack:
        governor_address, journal_folder = ask_executors(hub, purchase.model, work, governor, stack)
        layout = layout_of(store, hub.config, count, purchase.model, work, journaled=journal_folder is not None)
        plan = executor.TaskPlan(
            stage=purchase.stage,
            purpose=purchase.purpose,
            run_id=hub.run_id,
            model=purchase.model,
            members=purchase.members,
            limits=purchase.limits.share(layout.tasks * layout.in_flight),
            governor=governor_address,
            journal_folder=journal_folder,
        )
        # before the last unpaid job, so that a Ctrl-C that cancels jobs cannot hit a paid one
        stack.enter_context(_drain_on_interrupt(governor, hub.ui))
        staged = write_windows(store, f"{purchase.stage}.windows", purchase.rows, work.key, layout)
        stack.enter_context(store.one_file_per_task())
        stack.enter_context(hub.ui.watch(purchase.stage, count, governor.snapshot))
        failure = run_windows(hub, plan, staged, layout, governor, early_stop)
    if learned := governor.snapshot().errors.get(ErrorKind.UNSUPPORTED.value):
        hub.ui.say(
            f"{learned} requests were refused for a parameter that the endpoint has no use for, and were asked again in another way: "
            "`personahub check-models` shows which"
        )
    # of this purchase alone: a run may make several for one stage
    outcomes = store.table(work.table).where(F.col("run_id") == hub.run_id).join(purchase.rows, on=work.key, how="left_semi")
    answered, failed = outcomes.where("final").count(), outcomes.where("not final")
    try:
        if failure is None and governor.stop is None and plan.governor is None and answered < count:
            _raise_what_tasks_met(failed, purchase, answered)
        refused_alike = governor.refusal is not None and not (answered or governor.answered)
        if failure is None and governor.stop is None and refused_alike and not _has_been_served(store, purchase):
            raise EndpointError(
                f"{purchase.where} refused every request alike, which is no verdict on any of them: {governor.refusal}; "
                f"none of {count} {work.unit} is in the ledger. Run again once that is put right"
            )
        unanswered = failed.count() if governor.stop_kind == ENOUGH else 0
    finally:
        store.drop_scratch(pending_scratch(purchase.stage, purchase.purpose), f"{purchase.stage}.windows")
    if failure is not None:
        raise failure
    if governor.stop_kind == ENOUGH:
        return PurchaseResult(answered + unanswered, reused, unanswered, count - answered - unanswered, governor.stop)
    if governor.stop is not None:
        raise _error_of(governor, purchase, f"{answered} of {count} {work.unit} are in the ledger")
    return PurchaseResult(count, reused, count - answered)


@contextmanager
def _drain_on_interrupt(governor: Governor, ui: UserInterface) -> Iterator[None]:
    """The first Ctrl-C lets what is in flight end and be committed; the second ends a process that is the run's own, and elsewhere does
    what it did before: end what the engine is at, and raise KeyboardInterrupt.

    (Where PySpark has a JVM, a handler of its own cancels all jobs.)
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        if governor.stop_kind == "drain":
            ui.leave()
            if not callable(before):
                raise KeyboardInterrupt
            before(number, frame)
            return
        governor.drain()
        ui.say("stopping: what is in flight is being finished and committed (Ctrl-C again leaves at once)")

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _has_been_served(store: Store, purchase: Purchase) -> bool:
    """Whether the stage has good answers in the ledger: then what it asks is not at fault as such, and a few refused texts stop nothing."""
    good = F.col("final") & F.col("error_kind").isNull()
    return not store.table(purchase.work.table).where(good & (F.col("stage") == purchase.stage)).isEmpty()


def _raise_what_tasks_met(failed: DataFrame, purchase: Purchase, answered: int) -> None:
    """Without a governor no report of a task arrives: raises what no request of the stage could have overcome, by the ledger."""
    found = failed.groupBy("error_kind").agg(F.max("error_message").alias("message")).collect()
    messages = {row.error_kind: row.message for row in found}
    if ErrorKind.AUTHENTICATION.value in messages:
        raise AuthenticationError(messages[ErrorKind.AUTHENTICATION.value])
    fatal = [messages[kind.value] for kind in FATAL if kind.value in messages]
    if fatal or not answered:
        raise EndpointError(f"{purchase.where}: {'; '.join(fatal) or 'no request was answered'}. Run again to go on")


def _error_of(governor: Governor, purchase: Purchase, got: str) -> PersonahubError:
    match governor.stop_kind:
        case "drain":
            return Interrupted(f"interrupted: {got}; run again to go on")
        case "budget":
            return BudgetExceeded(f"{BUDGET_MESSAGE} ({got})")
        case "lease":
            return RootInUse(f"{governor.stop}; {got}. Run again once that run has ended")
        case "authentication":
            return AuthenticationError(f"{governor.stop}; {got}")
        case _:
            return EndpointError(f"{purchase.where}: {governor.stop}; {got}. Run again to go on")
