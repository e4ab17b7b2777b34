"""The one loop that spends: what is missing is staged, cut into windows, bought with several windows in flight, and committed.

Steps, as PAID_STEP numbers them: 1 ask only for what is missing (missing.py); 2 stage, then window, 3 several windows in flight
(windows.py); 5 the journal (recovery.py); 7 the governor, 10 the budget (checks.py).
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub import generate
from personahub.buy.checks import BUDGET_MESSAGE, Buyer, ask_executors, limits_of, response_format_of
from personahub.buy.missing import Estimate, Order, estimate, find_missing
from personahub.buy.recovery import drain_journals, lease_folder
from personahub.buy.windows import run_windows, shape_of, stage
from personahub.config import Config
from personahub.errors import (
    AuthorisationError,
    BudgetExceeded,
    EndpointError,
    ErrorKind,
    Interrupted,
    PersonahubError,
    RootInUse,
)
from personahub.lease import Lease
from personahub.llm.governor import Governor
from personahub.llm.retry import FATAL
from personahub.store import Store

__all__ = ["Bought", "Buyer", "Estimate", "Order", "buy", "drain_journals", "estimate", "find_missing", "lease_folder"]


@dataclass(frozen=True, slots=True)
class Bought:
    """Distinct requests: `calls` were asked, `reused` were in the ledger, `failed` are missing still and asked by the next run."""

    calls: int = 0
    reused: int = 0
    failed: int = 0


def buy(store: Store, config: Config, run_id: str, order: Order, ui: Buyer, lease: Lease) -> Bought:
    """Buy what is missing and commit it to `completions`.

    Raises what ended it early, after everything in flight was committed: Interrupted, EndpointError, AuthorisationError,
    BudgetExceeded, RootInUse.
    """
    missing = find_missing(store, order)
    if not missing.calls:
        return Bought(reused=missing.reused)
    if not ui.confirm(estimate(store, order, missing)):
        raise Interrupted("nothing was bought")
    store.create("completions")
    response_format = response_format_of(store, run_id, order.model)
    limits = limits_of(store, config, order, missing)
    shape = shape_of(store, config, missing.calls)
    staged = stage(store, order, missing, shape)
    governor = Governor(limits, total=missing.calls)
    with ExitStack() as stack:
        plan = generate.Plan(
            stage=order.stage,
            run_id=run_id,
            model=order.model,
            response_format=response_format,
            prompts=dict(order.prompts),
            limits=limits.share(shape.tasks * shape.in_flight),
        )
        plan = ask_executors(store, config, plan, governor, stack, shape, ui)
        stack.enter_context(store.one_file_per_task())
        stack.enter_context(_drain_on_interrupt(governor, ui))
        stack.enter_context(ui.watch(order.stage, missing.calls, governor.snapshot))
        failure = run_windows(store, plan, staged, shape, governor, lease)
    mine = store.table("completions").where((F.col("run_id") == run_id) & (F.col("stage") == order.stage))
    answered = mine.where("final").count()
    store.drop_scratch(f"{order.stage}.missing", f"{order.stage}.windows")
    if failure is not None:
        raise failure
    if governor.stop is not None:
        raise _error_of(governor, order, f"{answered} of {missing.calls} answers are in the ledger")
    if plan.governor is None and answered < missing.calls:
        _told_by_the_ledger(mine.where("not final"), order, answered)
    return Bought(missing.calls, missing.reused, missing.calls - answered)


@contextmanager
def _drain_on_interrupt(governor: Governor, ui: Buyer) -> Iterator[None]:
    """The first Ctrl-C lets what is in flight end and be committed; the second leaves at once. PySpark's own handler cancels all jobs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_interrupt(*_: object) -> None:
        if governor.stop_kind == "drain":
            os._exit(130)
        governor.drain()
        ui.say("stopping: what is in flight is being finished and committed (Ctrl-C again leaves at once)")

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _told_by_the_ledger(failed: DataFrame, order: Order, answered: int) -> None:
    """Where no governor heard the tasks: raises what no request of the stage could have overcome, if that is what they met."""
    where = f"{order.model.base_url} (model {order.model.model})"
    told = {
        row.error_kind: row.message for row in failed.groupBy("error_kind").agg(F.max("error_message").alias("message")).collect()
    }
    if ErrorKind.AUTHORISATION.value in told:
        raise AuthorisationError(f"{where} refused the key: {told[ErrorKind.AUTHORISATION.value]}")
    fatal = [told[kind.value] for kind in FATAL if kind.value in told]
    if fatal or not answered:
        raise EndpointError(f"{where}: {'; '.join(fatal) or 'no request was answered'}. Run again to go on")


def _error_of(governor: Governor, order: Order, got: str) -> PersonahubError:
    where = f"{order.model.base_url} (model {order.model.model})"
    match governor.stop_kind:
        case "drain":
            return Interrupted(f"interrupted: {got}; run again to go on")
        case "budget":
            return BudgetExceeded(f"{BUDGET_MESSAGE} ({got})")
        case "lease":
            return RootInUse(f"another run has taken over this root; {got}")
        case "authorisation":
            return AuthorisationError(f"{where} refused the key: {governor.stop}; {got}")
        case _:
            return EndpointError(f"{where}: {governor.stop}; {got}. Run again to go on")
