"""What the ledger does not answer yet, and what it would cost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub import schemas
from personahub.config import Model
from personahub.inference.batches import tables
from personahub.inference.early_stop import EarlyStop
from personahub.prompts import Prompt
from personahub.storage.delta import Store
from personahub.storage.hub import Estimate

SAMPLE = 200  # requests that an estimate renders
CHARACTERS_PER_TOKEN = 4.0
MIN_OBSERVATIONS = 20  # answers in the ledger from which on their mean is taken
LONGER = 1.3  # times the ledger's mean: prompts of another kind, as in the later turns of a conversation
AT_MAX_TOKENS = "answers counted at max_tokens: `personahub preview` finds out how long they are"


@dataclass(frozen=True)
class RequestBatch:
    """What a stage asks for one purpose: its requests (schemas.REQUESTS), the model that answers them, the prompts that render them.

    parse: does the runner parse the answers into the stage's tables? early_stop: see `early_stop`. counts: figures for the stage's result.
    """

    stage: str
    purpose: str
    requests: DataFrame
    model: Model
    prompts: Mapping[str, Prompt]
    parse: bool = True
    early_stop: EarlyStop | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class PendingRequests:
    """The requests that the ledger does not answer, and that are not in an open batch.

    reused: how many the ledger answers; enqueued: how many are in open batches.
    """

    rows: DataFrame
    calls: int
    reused: int
    enqueued: int
    longest: int  # bytes of the longest variables
    asked_before: int  # answered earlier under another prompt version, model or settings


def find_pending(store: Store, batch: RequestBatch) -> PendingRequests:
    """Distinct by completion_id, anti-joined with the ledger, written once. Nothing is bought from a plan that runs twice."""
    first_asker = F.min(F.struct("source_id", "sample_index", "stage", "prompt_name", "variables")).alias("first")
    distinct = batch.requests.groupBy("completion_id").agg(first_asker).select("completion_id", "first.*")
    ledger = store.table("completions").where("final")
    rows = distinct.join(ledger.select("completion_id"), on="completion_id", how="left_anti")
    waiting, enqueued = tables.enqueued(store), 0
    if waiting is not None:
        enqueued = rows.join(waiting, on="completion_id", how="left_semi").count()
        rows = rows.join(waiting, on="completion_id", how="left_anti")
    rows = store.materialise(rows.select(*schemas.REQUESTS.names), pending_scratch(batch.stage, batch.purpose))
    calls, longest = rows.agg(F.count("*"), F.max(F.octet_length("variables"))).collect()[0]
    total = batch.requests.agg(F.countDistinct("completion_id")).collect()[0][0]
    before = ledger.where(F.col("stage") == batch.stage).select("source_id", "sample_index").distinct()
    again = rows.join(before, on=["source_id", "sample_index"], how="left_semi").count() if calls else 0
    return PendingRequests(rows, calls, total - calls - enqueued, enqueued, longest or 0, again)


def pending_scratch(stage: str, purpose: str) -> str:
    """The scratch that holds what is pending for one purpose."""
    return f"{stage}.pending.{purpose.replace(' ', '-')}"


def estimate(store: Store, batch: RequestBatch, pending: PendingRequests) -> Estimate:
    """Exact calls; tokens by what the ledger says of this prompt and model, or else of up to 200 rendered prompts."""
    sample = pending.rows.limit(SAMPLE).collect()
    lengths = [characters(batch.prompts[row.prompt_name], row.variables) for row in sample]
    per_prompt = sum(lengths) / len(lengths) / CHARACTERS_PER_TOKEN if lengths else 0.0
    known = mean_tokens(store, batch.prompts, batch.model)
    # prefer the ledger's mean tokens per prompt to characters / 4, unless these prompts are much longer
    if known is not None and known[2] >= MIN_OBSERVATIONS and per_prompt <= LONGER * known[0]:
        per_prompt = known[0]
    per_answer = batch.model.max_answer_tokens if known is None else known[1]
    notes = [] if known is not None else [AT_MAX_TOKENS]
    if batch.model.batch.enabled:
        notes.append(f"in batches, within a day, at {batch.model.batch.price_factor:g} of the price")
    if pending.asked_before:
        notes.append(
            f"{pending.asked_before} of them were answered before, under another prompt version, model or settings: "
            "they would be bought again"
        )
    prompt_tokens, completion_tokens = round(per_prompt * pending.calls), round(per_answer * pending.calls)
    asked = batch.stage, batch.purpose, batch.model, pending.calls, pending.reused
    return priced(*asked, prompt_tokens, completion_tokens, note="; ".join(notes))


def estimate_at_most(
    store: Store, stage: str, purpose: str, model: Model, prompts: Mapping[str, Prompt], calls: int, shown_tokens: float = 0.0
) -> Estimate:
    """An upper bound, for requests that hang on answers not bought yet. shown_tokens: of what their prompts show of those answers."""
    means = mean_tokens(store, prompts, model)
    if means is None:
        fixed = max(characters(prompt, None) for prompt in prompts.values())
        tokens_in, tokens_out = shown_tokens + fixed / CHARACTERS_PER_TOKEN, float(model.max_answer_tokens)
    else:
        tokens_in, tokens_out, _ = means
    prompt_tokens, completion_tokens = round(calls * tokens_in), round(calls * tokens_out)
    note = "; ".join(["at most so many", *([AT_MAX_TOKENS] if means is None else [])])
    return priced(stage, purpose, model, calls, 0, prompt_tokens, completion_tokens, note=note)


def priced(
    stage: str, purpose: str, model: Model, calls: int, reused: int, prompt_tokens: int, completion_tokens: int, **more: Any
) -> Estimate:
    """The estimate of so many calls of a model. more: further fields of Estimate."""
    cost = model.as_bought().cost_usd(prompt_tokens, completion_tokens)
    return Estimate(stage, purpose, calls, reused, prompt_tokens, completion_tokens, cost, model.model, model.address, **more)


def mean_tokens(store: Store, prompts: Mapping[str, Prompt], model: Model) -> tuple[float, float, int] | None:
    """What the ledger says of these prompts and this model: mean tokens in and out, of how many answers. None: it has none."""
    versions = {prompt.version for prompt in prompts.values()}
    of_prompts = F.col("prompt_name").isin(list(prompts)) & F.col("prompt_version").isin(versions)
    counted = F.col("final") & of_prompts & (F.col("model") == model.model)
    means = store.table("completions").where(counted).agg(F.avg("prompt_tokens"), F.avg("completion_tokens"), F.count("*"))
    found = means.collect()[0]
    return (found[0], found[1], found[2]) if found[2] else None


def characters(prompt: Prompt, variables: str | None) -> int:
    """Of the rendered messages and the answer's schema; without variables, of what is the same for all requests, generously."""
    schema = len(orjson.dumps(prompt.schema)) if prompt.schema else 0
    if variables is None:
        return schema + len(prompt.system) + 2 * len(prompt.user) + 400
    return schema + sum(len(message["content"]) for message in prompt.render(orjson.loads(variables)))


def characters_of_template(prompt: Prompt) -> int:
    """Of what is the same for all requests, the answer's schema included; about as many as are rendered."""
    return (len(orjson.dumps(prompt.schema)) if prompt.schema else 0) + len(prompt.system) + len(prompt.user)
