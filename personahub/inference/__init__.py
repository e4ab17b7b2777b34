"""The one room that spends: a batch of requests goes to the ledger, each of them bought once.

    pending     what the ledger does not answer yet
    preflight   before the first call: what the endpoint honours, what holds on the executors, what may be spent
    batches/    the other way to buy answers: through a Batch API
    purchase    staged, cut into windows, bought with several windows in flight, committed (windows, executor, work)
    early_stop  a check that ends a purchase when what is bought is enough
    recovery    what a killed run has paid for goes from its journal into the ledger

The reasons stand in docs/architecture/paid-calls.md.
"""

from personahub.errors import Interrupted
from personahub.inference.batches.purchase import buy_in_batches, wait_for_batches
from personahub.inference.chat_work import Chats
from personahub.inference.pending import AT_MAX_TOKENS, PendingRequests, RequestBatch, estimate, estimate_at_most, find_pending
from personahub.inference.pool import pool_of
from personahub.inference.preflight import (
    PROBE,
    check_budget,
    check_prices,
    dialect_of,
    limits_of,
    longest_prompt,
    longest_request,
)
from personahub.inference.purchase import Purchase, PurchaseResult, confirm_purchase, execute_purchase, with_alias
from personahub.inference.recovery import drain_journals, lease_folder
from personahub.storage.hub import Hub

__all__ = [
    "AT_MAX_TOKENS",
    "PROBE",
    "PendingRequests",
    "PurchaseResult",
    "RequestBatch",
    "buy",
    "check_prices",
    "drain_journals",
    "estimate",
    "estimate_at_most",
    "find_pending",
    "lease_folder",
]


def buy(hub: Hub, batch: RequestBatch, *, wait: bool = True) -> PurchaseResult:
    """Buy what the ledger does not answer of a batch, and commit it to `completions`.

    Raises what ended it early, after everything in flight was committed: Interrupted, EndpointError, AuthenticationError, BudgetExceeded,
    RootInUse. Before anything is bought ConfigError, where there is a budget and a price is not known. What is in open batches is collected
    first; wait: also if they have not ended.
    """
    in_batches = batch.model.batch.enabled
    pending = find_pending(hub.store, batch)
    if pending.enqueued and wait and not in_batches:
        with with_alias(hub.config, batch.model):
            wait_for_batches(hub, batch)
        pending = find_pending(hub.store, batch)
    if not pending.calls and not (pending.enqueued and in_batches):
        return PurchaseResult(reused=pending.reused)
    check_prices(hub.config, batch.model, batch.stage)
    if pending.calls:
        check_budget(hub)
        if not confirm_purchase(hub, estimate(hub.store, batch, pending)):
            raise Interrupted("nothing more was bought; what was bought before is kept")
    with with_alias(hub.config, batch.model):
        prompts, longest = dict(batch.prompts), longest_prompt(batch, pending)
        if in_batches:
            return buy_in_batches(hub, batch, pending, Chats(dialect_of(hub, batch, batch.model, longest), prompts))
        model, members = pool_of(hub, batch.model, lambda one: Chats(dialect_of(hub, batch, one, longest), prompts))
        known = model.response_format == "auto"
        limits = limits_of(hub, model, longest_request(batch, pending), model.max_answer_tokens, known=known)
        purchase = Purchase(batch.stage, batch.purpose, model, members, pending.rows, pending.calls, limits)
        return execute_purchase(hub, purchase, pending.reused, batch.early_stop)
