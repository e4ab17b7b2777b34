"""Looking before buying: what a stage would cost, and a few of its prompts and answers."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pyspark.sql import DataFrame

from personahub import synthesis
from personahub.buy import Buyer, Estimate, Order, buy, estimate, find_missing
from personahub.errors import ConfigError
from personahub.pipeline import dedup, frontier, prices
from personahub.pipeline.hub import Hub
from personahub.pipeline.paid import PAID
from personahub.pipeline.synthesize import foreseen
from personahub.prompts import Prompt


@dataclass(frozen=True)
class Preview:
    """One request as it is sent, and what came back."""

    source_id: str
    messages: list[dict[str, str]]
    text: str | None
    error: str | None
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None


def estimates(hub: Hub, stages: Sequence[str]) -> list[Estimate]:
    """What each paid stage would buy now, from the tables as they stand; of persona-to-persona see `forecast`. Spends nothing."""
    found = []
    for stage in stages:
        if stage == synthesis.STAGE:
            found += foreseen.estimates(hub)
        elif stage in PAID:
            order = PAID[stage].order(hub)
            found.append(estimate(hub.store, order, find_missing(hub.store, order)))
        elif stage == dedup.STAGE:
            found += dedup.estimates(hub)
    return found


def preview(hub: Hub, stage: str, n: int) -> list[Preview]:
    """The exact prompts and answers of `n` requests, always the same ones. What they cost goes into the ledger: a run reuses them."""
    if stage not in PAID and stage != frontier.STAGE:
        raise ConfigError(f"{stage!r} asks no model: preview takes one of {', '.join([*PAID, frontier.STAGE])}")
    prices.check(hub.config, [stage])
    order = PAID[stage].order(hub) if stage in PAID else frontier.next_order(hub)
    few = hub.store.materialise(order.requests.orderBy("completion_id", "source_id").limit(n), f"{stage}.preview")
    order = replace(order, requests=few)
    buy(hub.store, hub.config, hub.run_id, order, _Unasked(hub.ui), hub.lease)
    answers = {row.completion_id: row for row in _answers_of(hub, few).collect()}
    return [_previewed(order, row, answers.get(row.completion_id)) for row in few.orderBy("completion_id").collect()]


def _answers_of(hub: Hub, requests: DataFrame) -> DataFrame:
    final = hub.store.table("completions").where("final")
    return final.join(requests.select("completion_id").distinct(), on="completion_id", how="left_semi")


def _previewed(order: Order, request: Any, answer: Any) -> Preview:
    prompt: Prompt = order.prompts[request.prompt_name]
    messages = prompt.render(json.loads(request.variables))
    if answer is None:
        return Preview(request.source_id, messages, None, "no answer: the call failed in passing", 0, 0, None)
    return Preview(
        request.source_id,
        messages,
        answer.text,
        answer.error_kind,
        answer.prompt_tokens,
        answer.completion_tokens,
        answer.cost_usd,
    )


class _Unasked:
    """A preview is asked for by name and is small: it does not ask back."""

    def __init__(self, ui: Buyer) -> None:
        self._ui = ui

    def confirm(self, estimate: Estimate) -> bool:
        return True

    def watch(self, stage: str, total: int, snapshot: Callable[[], Any]) -> Any:
        return self._ui.watch(stage, total, snapshot)

    def say(self, text: str) -> None:
        self._ui.say(text)
