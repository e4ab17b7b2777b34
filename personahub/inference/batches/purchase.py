"""All that is pending of one purpose, bought batch by batch, and waited for until it is answered."""

from dataclasses import replace
from typing import Any, NoReturn

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub.errors import BudgetExceeded, ConfigError, EndpointError
from personahub.inference.batches import requests, tables
from personahub.inference.batches.desk import Desk
from personahub.inference.batches.requests import Line, Lines, Previous, Room
from personahub.inference.batches.states import NOT_MADE, BatchState
from personahub.inference.batches.waiting import Waiting, leave_on_interrupt
from personahub.inference.chat_work import Chats
from personahub.inference.pending import PendingRequests, RequestBatch, find_pending, pending_scratch
from personahub.inference.preflight import BUDGET_MESSAGE, committed_usd
from personahub.inference.purchase import PurchaseResult
from personahub.llm.keys import read_key
from personahub.llm.retry import BAD_ANSWER
from personahub.storage.delta import Store
from personahub.storage.hub import Hub

MAX_BARREN = 3  # rounds of batches in a row without a final answer


def wait_for_batches(hub: Hub, batch: RequestBatch) -> None:
    """Collect the open batches that hold any of these requests, once they have ended. Raises as `buy_in_batches` does."""
    with Desk(hub) as desk, leave_on_interrupt() as stop:
        Waiting(hub, desk, stop, tables.open_batches(hub.store, batch.requests)).until_all_ended()


def cancel_and_collect(hub: Hub, states: list[BatchState]) -> list[BatchState]:
    """Have these batches ended at their endpoints, and collect what they have answered by then; returns them as they are afterwards."""
    with Desk(hub) as desk, leave_on_interrupt() as stop:
        asked = [desk.cancel(state) for state in states]
        Waiting(hub, desk, stop, [state for state in asked if state.is_open]).until_all_ended()
    names = {state.batch_id for state in states}
    return [state for state in tables.states(hub.store) if state.batch_id in names]


def buy_in_batches(hub: Hub, batch: RequestBatch, pending: PendingRequests, work: Chats) -> PurchaseResult:
    """Buy what is pending of a batch of requests, and collect what is in open batches already.

    Rounds: all that is pending goes into batches, all of these end, and what failed in passing, expired, or was answered badly for the
    first time is the next round's. Raises Interrupted, EndpointError, AuthenticationError, BudgetExceeded, RootInUse; open batches go on
    at the endpoint then, and the next run collects them.
    """
    store, asked, reused = hub.store, pending.calls + pending.enqueued, pending.reused
    with Desk(hub) as desk, leave_on_interrupt() as stop:
        waiting = Waiting(hub, desk, stop, tables.open_batches(store, batch.requests))
        barren, enough = 0, None
        while pending.calls or waiting.open:
            enough = _one_round(hub, batch, pending, waiting, work)
            before = pending.calls + pending.enqueued
            pending = find_pending(store, batch)
            if enough is not None:
                break
            barren = 0 if pending.calls < before else barren + 1
            if barren == MAX_BARREN:
                _raise_if_nothing_came(batch, pending, asked, waiting)
                break
    store.drop_scratch(pending_scratch(batch.stage, batch.purpose))
    if enough is not None:
        return PurchaseResult(asked - pending.calls, reused, skipped=pending.calls, stop_reason=enough)
    return PurchaseResult(asked, reused, failed=pending.calls)


def _one_round(hub: Hub, batch: RequestBatch, pending: PendingRequests, waiting: Waiting, work: Chats) -> str | None:
    """Submit all that is pending, and wait until every open batch has ended. Returns why an early stop had enough, or None."""
    lines = _lines_of(hub.store, batch, pending.rows, work)
    while lines or waiting.open:
        waiting.leave_if_stopped()
        one_by_one = batch.early_stop is not None and waiting.open
        if lines and not one_by_one:
            room = _room(hub, batch, waiting)
            taken = lines.take(room)
            if not taken and not waiting.open:  # one alone is tried, whatever was estimated of the tokens that may wait
                taken = lines.take(replace(room, requests=1, tokens=None))
            if taken:
                waiting.add(waiting.desk.submit(taken, batch.stage, batch.purpose, batch.model, dict(batch.prompts)))
                continue
            if not waiting.open:
                _raise_no_room(hub, batch)
        for ended in waiting.look():
            if batch.early_stop is not None and ended.state != NOT_MADE:
                ids = tables.requests_of(hub.store, ended).select("completion_id")
                enough = batch.early_stop(batch.requests.join(ids, on="completion_id", how="left_semi"))
                if enough is not None:
                    return enough
    return None


def _raise_no_room(hub: Hub, batch: RequestBatch) -> NoReturn:
    if hub.config.inference.budget_usd is not None:
        raise BudgetExceeded(BUDGET_MESSAGE)
    alias, most = hub.config.alias_of(batch.model), batch.model.batch.max_bytes
    raise ConfigError(f"models.{alias}.batch.max_bytes: a request of {batch.stage} is larger than {most:,} bytes")


def _room(hub: Hub, batch: RequestBatch, waiting: Waiting) -> Room:
    """What the next batch may hold: the endpoint's limits, less what waits in open batches; the budget, less what they reserve."""
    settings, budget = batch.model.batch, hub.config.inference.budget_usd
    limits = [limit for limit in (settings.max_enqueued_tokens, waiting.learned_tokens) if limit is not None]
    tokens = None
    if limits:
        same = batch.model.model, batch.model.base_url
        held = [one.prompt_tokens for one in tables.open_batches(hub.store) if (one.model, one.base_url) == same]
        tokens = min(limits) - sum(held)
    usd = None if budget is None else budget - committed_usd(hub.store)
    return Room(settings.max_requests, settings.max_bytes, tokens, usd)


def _lines_of(store: Store, batch: RequestBatch, rows: DataFrame, work: Chats) -> Lines:
    client = work.client(batch.model, read_key(batch.model))  # for its bodies only
    rows = _with_previous(store, rows)

    def fetch(after: str, count: int) -> list[Any]:
        return [
            row.asDict() for row in rows.where(F.col("completion_id") > after).orderBy("completion_id").limit(count).collect()
        ]

    def render(staged: list[Any]) -> list[Line]:
        calls = next(work.calls([staged]))
        return [requests.line(call, _previous_of(row), client, batch.model) for call, row in zip(calls, staged, strict=True)]

    return Lines(fetch, render)


def _with_previous(store: Store, rows: DataFrame) -> DataFrame:
    """With the number of answers of no use that a request has had, and the last of them."""
    bad = store.table("completions").where(~F.col("final") & F.col("error_kind").isin([kind.value for kind in BAD_ANSWER]))
    last = F.max(F.struct("created_at", "error_kind", "text", "error_message", "finish_reason")).alias("last")
    previous = bad.groupBy("completion_id").agg(F.count("*").alias("bad_answers"), last)
    shown = previous.select(
        "completion_id",
        "bad_answers",
        *(F.col(f"last.{name}").alias(f"previous_{name}") for name in ("error_kind", "text", "error_message", "finish_reason")),
    )
    return rows.join(shown, on="completion_id", how="left")


def _previous_of(row: dict[str, Any]) -> Previous | None:
    if not row["bad_answers"]:
        return None
    shown = (row[f"previous_{name}"] for name in ("error_kind", "text", "error_message", "finish_reason"))
    return Previous(row["bad_answers"], *shown)


def _raise_if_nothing_came(batch: RequestBatch, pending: PendingRequests, asked: int, waiting: Waiting) -> None:
    if pending.calls == asked:
        raise EndpointError(
            f"{batch.model.base_url} (batches of {batch.model.model}) answered nothing in {MAX_BARREN} rounds of batches"
            f"{f': {waiting.last_error}' if waiting.last_error else ''}. Run again to go on"
        )
