"""Looking before buying: what a stage would cost, and a few of its prompts and answers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pyspark.sql import DataFrame

from personahub import embeddings, stages
from personahub.config import Config
from personahub.errors import ConfigError
from personahub.inference import RequestBatch, buy, check_prices, estimate, find_pending
from personahub.prompts import Prompt
from personahub.stages.runner import drive
from personahub.stages.stage import Batch, RunStage, Stage
from personahub.storage.hub import Estimate, Hub


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


def known_prices(config: Config, chosen: Sequence[Stage]) -> None:
    """Raises ConfigError where there is a budget, and the price of a model that one of these stages asks is not known."""
    for stage in chosen:
        for asked in dict.fromkeys(stage.models(config)):
            check_prices(config, config.models[asked.alias], stage.name, answers=asked.answers)


def estimates(hub: Hub, names: Sequence[str]) -> list[Estimate]:
    """What each stage would buy now, from the tables as they stand; of persona-to-persona see `forecast`. Spends nothing."""
    return [one for name in names for one in estimates_of(hub, stages.named(name))]


def estimates_of(hub: Hub, stage: Stage) -> list[Estimate]:
    """Of one stage: by its own `estimate`, or of what it asks for first: a batch, vectors or another stage."""
    if stage.estimate is not None:
        return stage.estimate(hub)
    if not stage.buys_answers:
        return []
    match _first_asked(hub, stage):
        case RequestBatch() as batch:
            return [estimate(hub.store, batch, find_pending(hub.store, batch))]
        case embeddings.VectorBatch() as batch:
            return embeddings.estimate(hub, batch)
        case RunStage(other):
            return estimates_of(hub, other)
    return []


def preview(hub: Hub, name: str, n: int) -> list[Preview]:
    """The exact prompts and answers of `n` requests, always the same ones. What they cost goes into the ledger: a run reuses them."""
    stage = stages.named(name)
    if n < 1:
        raise ConfigError(f"a preview of {n} requests shows nothing: ask for 1 or more")
    if not stage.buys_answers:
        asking = [each.name for each in stages.STAGES.values() if each.buys_answers]
        raise ConfigError(f"{name!r} asks no model: preview takes one of {', '.join(asking)}")
    hub = replace(hub, config=_online(hub.config))
    known_prices(hub.config, [stage])
    batch = _first_asked(hub, stage) if stage.preview is None else drive(hub, stage, stage.preview(hub, n), {})
    if batch is None:
        return []
    if not isinstance(batch, RequestBatch):
        first = f"the stage {batch.stage.name}" if isinstance(batch, RunStage) else "vectors"
        raise ConfigError(
            f"{name} asks for {first} before its first requests, which cannot be shown without: give it a `preview`"
        )
    few = hub.store.materialise(batch.requests.orderBy("completion_id", "source_id").limit(n), f"{name}.preview")
    batch = replace(batch, requests=few, early_stop=None)
    hub.consent.agree([estimate(hub.store, batch, find_pending(hub.store, batch))])  # it is asked for by name, and small
    buy(hub, batch, wait=False)
    answers = {row.completion_id: row for row in _answers_of(hub, few).collect()}
    return [_previewed(batch, row, answers.get(row.completion_id)) for row in few.orderBy("completion_id").collect()]


def _online(config: Config) -> Config:
    """Someone waits for a few answers: they are not bought in batches."""
    models = {
        alias: model.model_copy(update={"batch": model.batch.model_copy(update={"enabled": False})})
        for alias, model in config.models.items()
    }
    return config.model_copy(update={"models": models})


def _first_asked(hub: Hub, stage: Stage) -> Batch | RunStage | None:
    rounds = stage.rounds(hub)
    try:
        return next(rounds, None)
    finally:
        rounds.close()


def _answers_of(hub: Hub, requests: DataFrame) -> DataFrame:
    final = hub.store.table("completions").where("final")
    return final.join(requests.select("completion_id").distinct(), on="completion_id", how="left_semi")


def _previewed(batch: RequestBatch, request: Any, answer: Any) -> Preview:
    prompt: Prompt = batch.prompts[request.prompt_name]
    messages = prompt.render(json.loads(request.variables))
    if answer is None:
        return Preview(
            request.source_id, messages, None, "no answer yet: the call failed transiently, or waits in a batch", 0, 0, None
        )
    return Preview(
        request.source_id,
        messages,
        answer.text,
        answer.error_kind,
        answer.prompt_tokens,
        answer.completion_tokens,
        answer.cost_usd,
    )
