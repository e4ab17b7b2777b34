"""What `synthesize` would buy, part by part: its requests, whose examples are shown, vectors, moderation, and the turns of conversations.

Calls of its requests are counted; those of what hangs on answers that are not there yet are told as the most there can be.
"""

from collections.abc import Mapping
from dataclasses import replace

from pyspark.sql import functions as F

from personahub import synthesis
from personahub.buy import AT_MOST, Estimate, Missing, estimate, find_missing, tokens_told
from personahub.buy.missing import CHARACTERS_PER_TOKEN, characters
from personahub.config import Model
from personahub.pipeline import semantic
from personahub.pipeline.hub import Hub
from personahub.pipeline.paid import PAID
from personahub.pipeline.synthesize import accepting, candidates, shown
from personahub.prompts import Prompt
from personahub.rows import frame
from personahub.synthesis import conversation, fit, moderation


def estimates(hub: Hub) -> list[Estimate]:
    """What a run would buy now. Spends nothing."""
    settings, order = hub.config.synthesis, PAID[synthesis.STAGE].order(hub)
    missing = find_missing(hub.store, order)
    made = estimate(hub.store, order, missing)
    # before the others: what is missing lies in scratch that the next estimate writes anew
    talks = _conversations(hub, missing) if synthesis.CONVERSATION in settings.tasks else []
    return [*shown.estimates(hub, candidates.people_of(hub)), _with_refused(hub, made), *_judged(hub, made), *_fits(hub), *talks]


def _with_refused(hub: Hub, made: Estimate) -> Estimate:
    """Where so many accepted examples are wanted, each that is refused is asked for again."""
    if hub.config.synthesis.accepted is None:
        return made
    most = accepting.most(hub) * len(synthesis.choose(hub.config))
    return replace(made, note="; ".join(filter(None, [made.note, f"if none is refused, and at most {most:,}"])))


def _judged(hub: Hub, made: Estimate) -> list[Estimate]:
    """The moderation model reads each answer that is accepted otherwise."""
    name = hub.config.synthesis.moderation_model
    if name is None:
        return []
    answer = made.completion_tokens / made.calls if made.calls else 0
    return [_at_most(hub, hub.config.models[name], moderation.prompts_of(), made.calls, answer, "moderation")]


def _fits(hub: Hub) -> list[Estimate]:
    topics = {topic for task in synthesis.choose(hub.config).values() for topic in fit.topics_of(task)}
    if hub.config.synthesis.fit == "none" or not topics:
        return []
    people = candidates.people_of(hub).select(F.col("persona_id").alias("id"), F.col("persona").alias("text"))
    texts = people.unionByName(frame(hub.spark, [(fit.id_of(topic), topic) for topic in sorted(topics)], shown.TEXTS))
    return [replace(one, part="fit") for one in semantic.estimate(hub, texts, synthesis.STAGE)]


def _conversations(hub: Hub, missing: Missing) -> list[Estimate]:
    """Each first turn that is there or about to be bought leads to as many turns as there can be."""
    config, table = hub.config, hub.store.table
    keys = [key for key, task in synthesis.choose(config).items() if task.name == synthesis.FIRST_TURN]
    first = missing.rows.where(F.col("prompt_name").isin(keys)).count()
    first += conversation.begin(table("examples"), candidates.people_of(hub), config).count()
    turns = []
    for number in range(conversation.passes(config)):
        model, prompts = config.models[conversation.model_of(config, number)], conversation.prompts_of(number)
        said = (number + 1) * model.max_answer_tokens
        turns.append(_at_most(hub, model, prompts, first, said, "turns of the user" if number % 2 else "turns of the assistant"))
    return [_sum([one for one in turns if one.part == part]) for part in dict.fromkeys(one.part for one in turns)]


def _at_most(hub: Hub, model: Model, prompts: Mapping[str, Prompt], calls: int, read: float, part: str) -> Estimate:
    """read: tokens of earlier answers that a prompt shows."""
    told = tokens_told(hub.store, prompts, model)
    if told is None:
        (prompt,) = prompts.values()
        tokens_in, tokens_out = read + characters(prompt, None) / CHARACTERS_PER_TOKEN, model.max_answer_tokens
    else:
        tokens_in, tokens_out, _ = told
    prompt_tokens, completion_tokens = round(calls * tokens_in), round(calls * tokens_out)
    return Estimate(
        synthesis.STAGE,
        calls,
        0,
        prompt_tokens,
        completion_tokens,
        model.cost_usd(prompt_tokens, completion_tokens),
        model.model,
        model.base_url,
        "; ".join(["at most so many", *([AT_MOST] if told is None else [])]),
        part=part,
    )


def _sum(parts: list[Estimate]) -> Estimate:
    costs = [one.cost_usd for one in parts if one.cost_usd is not None]
    return replace(
        parts[0],
        calls=sum(one.calls for one in parts),
        prompt_tokens=sum(one.prompt_tokens for one in parts),
        completion_tokens=sum(one.completion_tokens for one in parts),
        cost_usd=sum(costs) if len(costs) == len(parts) else None,
    )
