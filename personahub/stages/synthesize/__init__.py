"""The stage `synthesize`: examples of the chosen tasks, each made with a kept persona (paper, sections 3 and 4)."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial, reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub import embeddings, prompts
from personahub.config import Config
from personahub.inference import RequestBatch, estimate_at_most, find_pending
from personahub.inference import estimate as estimate_batch
from personahub.stages import text_to_persona
from personahub.stages.runner import insert_parsed
from personahub.stages.stage import Counts, ModelUse, Rounds, Stage, TextColumns
from personahub.stages.synthesize import conversation, few_shot_selection, moderation, topic_similarity, transform, until_accepted
from personahub.stages.synthesize.persona_selection import between, chosen_personas
from personahub.stages.synthesize.results import NAME, split
from personahub.stages.synthesize.tasks import CONVERSATION, choose
from personahub.storage.hub import Estimate, Hub
from personahub.storage.views import kept_personas, without


def rounds(hub: Hub) -> Rounds:
    """Few-shot examples, then the requests of all personas or as many as it takes, then the turns of conversations."""
    pool = yield from few_shot_selection.examples(hub)
    personas, pool = yield from few_shot_selection.with_vectors(hub, chosen_personas(hub), pool)
    counts: Counts = {}
    if hub.config.synthesis.target_accepted is None:
        yield until_accepted.batch_of(hub, transform.build(personas, hub.config, None, pool))
    else:
        counts = yield from until_accepted.rounds(hub, personas, pool)
    if CONVERSATION in hub.config.synthesis.tasks:
        made = yield from conversation.rounds(hub, partial(insert_parsed, hub, STAGE))
        counts = {**counts, **made}
    return counts


def review(hub: Hub, parsed: DataFrame) -> Rounds:
    """Moderation, then how each persona fits its topic."""
    parsed = yield from moderation.moderated(hub, parsed)
    return (yield from topic_similarity.with_similarity(hub, parsed))


def estimate(hub: Hub) -> list[Estimate]:
    """What a run would buy now. Requests are counted exactly; calls that depend on answers not bought yet are an upper bound."""
    batch = _first_batch(hub, chosen_personas(hub))
    pending = find_pending(hub.store, batch)
    examples = estimate_batch(hub.store, batch, pending)
    turns = conversation.estimates(hub, pending)
    found = few_shot_selection.estimates(hub, chosen_personas(hub))
    return [*found, _if_refused(hub, examples), *moderation.estimates(hub, examples), *topic_similarity.estimates(hub), *turns]


def bound(hub: Hub, incoming: int) -> tuple[list[Estimate], int]:
    """What is known now, and the examples of personas that may come, with their moderation and turns."""
    config, settings = hub.config, hub.config.synthesis
    found, tasks = estimate(hub), choose(hub.config)
    there = chosen_personas(hub).count()
    more = incoming if settings.max_personas is None else max(0, min(incoming, settings.max_personas - there))
    calls = more * len(tasks) * settings.samples_per_persona
    if settings.target_accepted is not None:
        candidates = min(there + more, settings.max_candidates or settings.target_accepted * 10) * len(tasks)
        first = next(one for one in found if one.purpose == "examples")
        calls = max(0, candidates - first.calls - (_answered(hub) if first.reused else 0))
    if not calls:
        return found, incoming
    model = config.models[settings.model]
    examples = estimate_at_most(hub.store, NAME, "examples", model, transform.prompts_of(config), calls)
    found += [examples, *moderation.estimates(hub, examples)]
    if CONVERSATION in settings.tasks:
        found += conversation.turns_at_most(hub, more)
    return found, incoming


def _answered(hub: Hub) -> int:
    """Candidates that the ledger holds."""
    prompt_names = list(transform.prompts_of(hub.config))
    ledger = hub.store.table("completions").where(F.col("prompt_name").isin(prompt_names) & (F.col("purpose") == "examples"))
    return ledger.select("completion_id").distinct().count()


def preview(hub: Hub, n: int) -> Rounds:
    """The first n candidates of each task, which a run asks in any case, after what their prompts show is bought: their vectors alone."""
    settings, keys = hub.config.synthesis, list(choose(hub.config))
    first = min(n, settings.target_accepted or n)
    pool = yield from few_shot_selection.examples(hub)
    candidates = [between(chosen_personas(hub), settings.seed, key, 0, first) for key in keys]
    personas = reduce(DataFrame.unionByName, candidates).dropDuplicates(["persona_id"])
    personas, pool = yield from few_shot_selection.with_vectors(hub, personas, pool)
    return until_accepted.batch_of(hub, until_accepted.candidates(hub, personas, pool, dict.fromkeys(keys, (0, first))))


def check(config: Config) -> None:
    """Raises ConfigError for tasks, examples and vectors that can not be."""
    transform.check(config)
    settings = config.synthesis
    if settings.needs_vectors:
        embeddings.check(
            config, "synthesis.topic_similarity" if settings.topic_similarity else "synthesis.few_shot.selection: knn"
        )


def models(config: Config) -> Iterator[ModelUse]:
    """The models of examples, turns, moderation, few-shot personas and vectors."""
    settings = config.synthesis
    yield ModelUse(settings.model, prompts=tuple(transform.prompts_of(config).values()))
    if CONVERSATION in settings.tasks:
        for number in range(conversation.passes(config)):
            yield ModelUse(conversation.model_of(config, number), prompts=tuple(conversation.prompts_of(number).values()))
    if settings.moderation_model is not None:
        yield ModelUse(settings.moderation_model, prompts=(prompts.load(moderation.PROMPT),))
    if few_shot_selection.needs_personas(config, transform.examples_of(config)):
        yield text_to_persona.model_use(config)
    if settings.needs_vectors and config.dedup.semantic.model is not None:
        yield ModelUse(config.dedup.semantic.model, answers=False)


def progress(hub: Hub) -> Iterator[str]:
    """Personas that a run would ask and that have led to nothing yet."""
    table, settings = hub.store.table, hub.config.synthesis
    if settings.target_accepted is not None:
        return  # how many are asked hangs on how many are accepted
    made = table("examples").select(F.col("persona_id").alias("id"))
    rejected = table("rejects").where(F.col("stage") == NAME).select(F.col("source_id").alias("id"))
    personas = kept_personas(table) if settings.max_personas is None else chosen_personas(hub)
    waiting = without(personas, "persona_id", made, rejected).count()
    if waiting:
        yield f"{waiting:,} kept personas have led to no example and no reject yet: run {NAME}"


def _first_batch(hub: Hub, personas: DataFrame) -> RequestBatch:
    """Without buying anything: unknown personas of examples are placeholders, vectors those that the ledger has."""
    settings, pool = hub.config.synthesis, few_shot_selection.with_placeholders(hub)
    if few_shot_selection.nearest(hub.config):
        personas, pool = few_shot_selection.known_vectors(hub, personas, pool)
    if settings.target_accepted is None:
        return until_accepted.batch_of(hub, transform.build(personas, hub.config, None, pool))
    places = dict.fromkeys(choose(hub.config), (0, settings.target_accepted))
    return until_accepted.batch_of(hub, until_accepted.candidates(hub, personas, pool, places))


def _if_refused(hub: Hub, examples: Estimate) -> Estimate:
    """Where so many accepted examples are wanted, each that is refused is asked for again."""
    if hub.config.synthesis.target_accepted is None:
        return examples
    limit = until_accepted.max_candidates(hub) * len(choose(hub.config))
    return replace(examples, note="; ".join(filter(None, [examples.note, f"if none is refused, and at most {limit:,}"])))


STAGE = Stage(
    name=NAME,
    about="buys examples of the chosen tasks, each with a kept persona",
    writes=("examples", "rejects"),
    rounds=rounds,
    parse=lambda hub, batch, completions: transform.parse(batch.requests, completions, hub.config),
    review=review,
    split=split,
    parsed=("examples", "persona_id"),
    check=check,
    models=models,
    estimate=estimate,
    bound=bound,
    preview=preview,
    progress=progress,
    texts=(
        TextColumns("examples", "example_id", ("content",), "example"),
        TextColumns("few_shot_pool", "persona_id", ("text", "persona")),
        TextColumns("reviews", "example_id", ("note",), "example"),
    ),
)
