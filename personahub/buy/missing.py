"""Step 1 of buying: what the ledger does not answer yet, and what it would cost."""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub import schemas
from personahub.config import Model
from personahub.prompts import Prompt
from personahub.store import Store

SAMPLE = 200  # requests that an estimate renders
CHARACTERS_PER_TOKEN = 4.0
TOLD = 20  # answers in the ledger from which on their mean is taken
LONGER = 1.3  # so many times the ledger's mean: other prompts than those, as in the later turns of a conversation
AT_MOST = "answers counted at max_tokens: `personahub preview` finds out how long they are"


@dataclass(frozen=True)
class Order:
    """One stage's wish: its requests (schemas.REQUESTS), the model that answers them and the prompts they are rendered by."""

    stage: str
    requests: DataFrame
    model: Model
    prompts: Mapping[str, Prompt]


@dataclass(frozen=True)
class Missing:
    """The staged requests that the ledger does not answer."""

    rows: DataFrame
    calls: int
    reused: int
    longest: int  # characters of the longest variables
    asked_before: int  # answered earlier under another prompt version, model or settings


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a stage is about to buy. `calls` is exact; tokens are sampled; dollars are None where a price is unknown."""

    stage: str
    calls: int
    reused: int  # distinct requests that the ledger answers already
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    model: str = ""
    base_url: str = ""
    note: str = ""
    texts: int = 0  # whose vectors are missing; `calls` is about how many requests they fill
    part: str = ""  # of the stage, where this is not all of it


def find_missing(store: Store, order: Order) -> Missing:
    """Step 1: distinct by completion_id, anti-joined with the ledger, written once. Nothing is bought from a plan that runs twice."""
    first_asker = F.min(F.struct("source_id", "sample_index", "stage", "prompt_name", "variables")).alias("first")
    distinct = order.requests.groupBy("completion_id").agg(first_asker).select("completion_id", "first.*")
    ledger = store.table("completions").where("final")
    rows = distinct.join(ledger.select("completion_id"), on="completion_id", how="left_anti")
    rows = store.materialise(rows.select(*schemas.REQUESTS.names), f"{order.stage}.missing")
    calls, longest = rows.agg(F.count("*"), F.max(F.length("variables"))).collect()[0]
    total = order.requests.agg(F.countDistinct("completion_id")).collect()[0][0]
    before = ledger.where(F.col("stage") == order.stage).select("source_id", "sample_index").distinct()
    again = rows.join(before, on=["source_id", "sample_index"], how="left_semi").count() if calls else 0
    return Missing(rows, calls, total - calls, longest or 0, again)


def estimate(store: Store, order: Order, missing: Missing) -> Estimate:
    """Exact calls; tokens by what the ledger says of this prompt and model, or else of up to 200 rendered prompts."""
    sample = missing.rows.limit(SAMPLE).collect()
    lengths = [characters(order.prompts[row.prompt_name], row.variables) for row in sample]
    per_prompt = sum(lengths) / len(lengths) / CHARACTERS_PER_TOKEN if lengths else 0.0
    known = tokens_told(store, order.prompts, order.model)
    # how many tokens this model makes of a prompt the ledger knows better than its characters tell, unless these are far longer prompts
    if known is not None and known[2] >= TOLD and per_prompt <= LONGER * known[0]:
        per_prompt = known[0]
    per_answer = order.model.max_answer_tokens if known is None else known[1]
    notes = [] if known is not None else [AT_MOST]
    if missing.asked_before:
        notes.append(
            f"{missing.asked_before} of them were answered before, under another prompt version, model or settings: "
            "they would be bought again"
        )
    prompt_tokens, completion_tokens = round(per_prompt * missing.calls), round(per_answer * missing.calls)
    return Estimate(
        stage=order.stage,
        calls=missing.calls,
        reused=missing.reused,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cost_usd=order.model.cost_usd(prompt_tokens, completion_tokens),
        model=order.model.model,
        base_url=order.model.base_url,
        note="; ".join(notes),
    )


def tokens_told(store: Store, prompts: Mapping[str, Prompt], model: Model) -> tuple[float, float, int] | None:
    """What the ledger says of these prompts and this model: mean tokens in and out, of how many answers. None: it has none."""
    versions = {prompt.version for prompt in prompts.values()}
    of_prompts = F.col("prompt_name").isin(list(prompts)) & F.col("prompt_version").isin(versions)
    mine = F.col("final") & of_prompts & (F.col("model") == model.model)
    told = store.table("completions").where(mine).agg(F.avg("prompt_tokens"), F.avg("completion_tokens"), F.count("*"))
    found = told.collect()[0]
    return (found[0], found[1], found[2]) if found[2] else None


def characters(prompt: Prompt, variables: str | None) -> int:
    """Of the rendered messages and the answer's schema; without variables, of what is the same for all requests, generously."""
    schema = len(orjson.dumps(prompt.schema)) if prompt.schema else 0
    if variables is None:
        return schema + len(prompt.system) + 2 * len(prompt.user) + 400
    return schema + sum(len(message["content"]) for message in prompt.render(orjson.loads(variables)))
