"""The one loop that spends: what is missing is staged, cut into windows, bought with several windows in flight, and committed.

Steps, as PAID_STEP numbers them: 1 ask only for what is missing (missing.py; vectors.py); 2 stage, then window, 3 several windows in flight
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
from personahub.buy.checks import (
    BUDGET_MESSAGE,
    Buyer,
    ask_executors,
    check_prices,
    encoding_of,
    limits_of,
    longest_request,
    response_format_of,
)
from personahub.buy.judging import ENOUGH, Judge
from personahub.buy.local import compute_vectors
from personahub.buy.missing import AT_MOST, Estimate, Missing, Order, estimate, find_missing, tokens_told
from personahub.buy.recovery import drain_journals, lease_folder
from personahub.buy.vectors import VectorOrder, estimate_vectors, find_missing_vectors
from personahub.buy.windows import Work, run_windows, shape_of, stage
from personahub.config import Config, Model
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
from personahub.llm.governor import Governor, Limits
from personahub.llm.retry import FATAL
from personahub.store import Store

__all__ = [
    "AT_MOST",
    "Bought",
    "Buyer",
    "Estimate",
    "Judge",
    "Missing",
    "Order",
    "VectorOrder",
    "buy",
    "buy_vectors",
    "check_prices",
    "compute_vectors",
    "drain_journals",
    "estimate",
    "estimate_vectors",
    "find_missing",
    "find_missing_vectors",
    "lease_folder",
    "tokens_told",
]


@dataclass(frozen=True, slots=True)
class Bought:
    """Distinct requests, or texts that need a vector: `calls` were asked, `reused` were in the ledger, `failed` are missing still.

    unasked: how many were left when `judge` had enough, and enough: what it said.
    """

    calls: int = 0
    reused: int = 0
    failed: int = 0
    unasked: int = 0
    enough: str | None = None


def buy(store: Store, config: Config, run_id: str, order: Order, ui: Buyer, lease: Lease, judge: Judge | None = None) -> Bought:
    """Buy what is missing and commit it to `completions`.

    judge: is given the requests of each window (schemas.REQUESTS and more) once its answers are committed, window after window, while the
    next are asked; what it returns, if not None, ends the purchase: it says why what is there is enough.

    Raises what ended it early, after everything in flight was committed: Interrupted, EndpointError, AuthorisationError,
    BudgetExceeded, RootInUse. Before anything is bought ConfigError, where there is a budget and a price is not known.
    """
    missing = find_missing(store, order)
    if not missing.calls:
        return Bought(reused=missing.reused)
    check_prices(config, order.model, order.stage)
    if not ui.confirm(estimate(store, order, missing)):
        raise Interrupted("nothing was bought")
    with _with_alias(config.alias_of(order.model)):
        work = generate.Chats(response_format_of(store, run_id, order.model), dict(order.prompts))
        limits = limits_of(store, config, order.model, longest_request(order, missing), order.model.max_answer_tokens)
        purchase = _Purchase(order.stage, order.model, work, missing.rows, missing.calls, limits)
        return _buy(store, config, run_id, purchase, missing.reused, ui, lease, judge)


def buy_vectors(store: Store, config: Config, run_id: str, order: VectorOrder, ui: Buyer, lease: Lease) -> Bought:
    """The same for vectors and `embeddings`. A text that the endpoint refuses for good has a final row without a vector."""
    missing = find_missing_vectors(store, order)
    if not missing.texts:
        return Bought(reused=missing.reused)
    check_prices(config, order.model, order.stage, answers=False)
    if not ui.confirm(estimate_vectors(order, missing)):
        raise Interrupted("nothing was bought")
    with _with_alias(config.alias_of(order.model)):
        limits = limits_of(store, config, order.model, missing.largest_request, 0)
        settings = order.settings
        encoding = encoding_of(store, run_id, order.model)
        work = generate.Vectors(encoding, settings.texts_per_request, settings.tokens_per_request)
        purchase = _Purchase(order.stage, order.model, work, missing.rows, missing.texts, limits)
        return _buy(store, config, run_id, purchase, missing.reused, ui, lease)


@contextmanager
def _with_alias(alias: str) -> Iterator[None]:
    """An error about a key says under which model it is set."""
    try:
        yield
    except AuthorisationError as error:
        raise AuthorisationError(f"models.{alias}: {error}") from None


@dataclass(frozen=True)
class _Purchase:
    """What has been agreed to: `count` rows, which are missing."""

    stage: str
    model: Model
    work: Work
    rows: DataFrame
    count: int
    limits: Limits

    @property
    def where(self) -> str:
        return f"{self.model.base_url} (model {self.model.model})"


def _buy(
    store: Store,
    config: Config,
    run_id: str,
    purchase: _Purchase,
    reused: int,
    ui: Buyer,
    lease: Lease,
    judge: Judge | None = None,
) -> Bought:
    """Steps 2 to 7."""
    table, count = purchase.work.table, purchase.count
    store.create(table)
    governor = Governor(purchase.limits, total=count)
    with ExitStack() as stack:
        reach = ask_executors(store, config, purchase.model, purchase.work, governor, stack, ui)
        shape = shape_of(store, config, count, purchase.model, purchase.work, journaled=reach.journal_folder is not None)
        plan = generate.Plan(
            stage=purchase.stage,
            run_id=run_id,
            model=purchase.model,
            work=purchase.work,
            limits=purchase.limits.share(shape.tasks * shape.in_flight),
            governor=reach.governor,
            journal_folder=reach.journal_folder,
        )
        # before the last free job: an earlier Ctrl-C ends that job, so none can still be ending jobs when these are paid for
        stack.enter_context(_drain_on_interrupt(governor, ui))
        staged = stage(store, f"{purchase.stage}.windows", purchase.rows, purchase.work.key, shape)
        stack.enter_context(store.one_file_per_task())
        stack.enter_context(ui.watch(purchase.stage, count, governor.snapshot))
        failure = run_windows(store, plan, staged, shape, governor, lease, judge)
    # of this purchase: a run may make several for one stage
    mine = store.table(table).where(F.col("run_id") == run_id).join(purchase.rows, on=purchase.work.key, how="left_semi")
    answered, failed = mine.where("final").count(), mine.where("not final")
    try:
        if failure is None and governor.stop is None and plan.governor is None and answered < count:
            _told_by_the_ledger(failed, purchase, answered)
        unanswered = failed.count() if governor.stop_kind == ENOUGH else 0
    finally:
        store.drop_scratch(f"{purchase.stage}.missing", f"{purchase.stage}.windows")
    if failure is not None:
        raise failure
    if governor.stop_kind == ENOUGH:
        return Bought(answered + unanswered, reused, unanswered, count - answered - unanswered, governor.stop)
    if governor.stop is not None:
        raise _error_of(governor, purchase, f"{answered} of {count} {purchase.work.goods} are in the ledger")
    return Bought(count, reused, count - answered)


@contextmanager
def _drain_on_interrupt(governor: Governor, ui: Buyer) -> Iterator[None]:
    """The first Ctrl-C lets what is in flight end and be committed; the second leaves at once.

    (Where PySpark has a JVM, a handler of its own cancels all jobs.)
    """
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


def _told_by_the_ledger(failed: DataFrame, purchase: _Purchase, answered: int) -> None:
    """Where no governor heard the tasks: raises what no request of the stage could have overcome, if that is what they met."""
    where = purchase.where
    told = {
        row.error_kind: row.message for row in failed.groupBy("error_kind").agg(F.max("error_message").alias("message")).collect()
    }
    if ErrorKind.AUTHORISATION.value in told:
        raise AuthorisationError(told[ErrorKind.AUTHORISATION.value])
    fatal = [told[kind.value] for kind in FATAL if kind.value in told]
    if fatal or not answered:
        raise EndpointError(f"{where}: {'; '.join(fatal) or 'no request was answered'}. Run again to go on")


def _error_of(governor: Governor, purchase: _Purchase, got: str) -> PersonahubError:
    where = purchase.where
    match governor.stop_kind:
        case "drain":
            return Interrupted(f"interrupted: {got}; run again to go on")
        case "budget":
            return BudgetExceeded(f"{BUDGET_MESSAGE} ({got})")
        case "lease":
            return RootInUse(f"another run has taken over this root; {got}")
        case "authorisation":
            return AuthorisationError(f"{governor.stop}; {got}")
        case _:
            return EndpointError(f"{where}: {governor.stop}; {got}. Run again to go on")
