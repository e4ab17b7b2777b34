"""The stage `persona-to-persona`: hop by hop, each deduplicated before the next is paid for (paper, section 2.2).

1. Dedup decides on every persona that is there: no duplicate is asked.
2. The frontier of a hop is the kept personas of the hop before or, where these are more than max_frontier, some of them. It is frozen: its
   requests go to the table `requests` before the first call, and a run that goes on asks exactly these (frontier.py).
3. They are bought and parsed; their personas have the hop's number. With min_novelty a hop ends, and the stage with it, where too few
   of them are new (novelty.py).
"""

from collections.abc import Iterator
from dataclasses import replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub import prompts
from personahub.config import Config
from personahub.inference import RequestBatch, estimate_at_most
from personahub.stages import dedup
from personahub.stages.persona_answers import WRITES, split
from personahub.stages.persona_to_persona import forecast, frontier, transform
from personahub.stages.persona_to_persona.novelty import Novelty, stop_reason
from personahub.stages.persona_to_persona.transform import NAME
from personahub.stages.stage import ModelUse, Rounds, RunStage, Stage
from personahub.storage.hub import Estimate, Hub


def rounds(hub: Hub) -> Rounds:
    """A batch a hop, dedup before and after each. Ends where there is no persona to ask."""
    hops = hub.config.persona_to_persona.hops
    if hops:
        yield RunStage(dedup.STAGE)
    for hop in range(1, hops + 1):
        if stop_reason(hub, hop) is None:
            frontier.freeze(hub, hop)
        if frontier.requests(hub, hop).isEmpty():
            return
        yield from _one_hop(hub, hop)
        yield RunStage(dedup.STAGE)
        if reason := stop_reason(hub, hop):
            hub.ui.say(f"{NAME} ends with hop {hop}: {reason}")
            return


def _one_hop(hub: Hub, hop: int) -> Rounds:
    forecast.record(hub, hop)
    asked = frontier.requests(hub, hop)
    answered = hub.store.table("completions").where("final").select("completion_id")
    there = asked.join(answered, on="completion_id", how="left_semi")
    ended = stop_reason(hub, hop) is not None
    # of a hop that has ended, what is there is parsed, and nothing bought
    batch = frontier.batch_of(hub, hop, there if ended else asked)
    if ended or not hub.config.persona_to_persona.min_novelty:
        yield batch
        return
    with hub.store.scope("novelty") as materialise:
        novelty = Novelty(hub, hop, materialise)
        if not there.isEmpty():  # what a killed run has bought
            novelty(there)
        yield replace(batch, early_stop=novelty)


def _parse(hub: Hub, batch: RequestBatch, completions: DataFrame) -> DataFrame:
    hop = frontier.hop_of(batch)
    return _without_cycles(hub, transform.parse(batch.requests, completions, hub.config, hop), hop)


def bound(hub: Hub, incoming: int) -> tuple[list[Estimate], int]:
    """All hops, each at the upper end of its forecast, the vectors of their personas, and how many these are at most."""
    config, settings = hub.config, hub.config.persona_to_persona
    children = settings.relations_per_request * settings.personas_per_relation
    calls, more = sum(one.most for one in forecast.forecast(hub)), incoming
    for _ in range(settings.hops):  # hop by hop, of personas that are not there yet
        more = more if settings.max_frontier is None else min(more, settings.max_frontier)
        calls, more = calls + more, more * children
    if not calls:
        return [], incoming
    model, asked_by = config.models[settings.model], prompts.by_name(transform.PROMPT)
    found = [estimate_at_most(hub.store, NAME, "hops", model, asked_by, calls), *dedup.vectors_at_most(hub, calls * children)]
    return found, incoming + calls * children


def _preview(hub: Hub, n: int) -> Rounds:
    return frontier.next_batch(hub)
    yield


def models(config: Config) -> Iterator[ModelUse]:
    """Each hop is deduplicated, so dedup's too."""
    if config.persona_to_persona.hops:
        yield ModelUse(config.persona_to_persona.model, prompts=(prompts.load(transform.PROMPT),))
        yield from dedup.STAGE.models(config)


def _without_cycles(hub: Hub, parsed: DataFrame, hop: int) -> DataFrame:
    """PARSED, where a persona that its own parent descends from is a reject, own_ancestor. Descent goes from a lower to a higher hop."""
    parsed = hub.store.materialise(parsed, f"{NAME}.parsed")
    personas = hub.store.table("personas").select("persona_id", "hop")
    lineage = hub.store.table("lineage").select("child_id", "parent_id")
    known = personas.where(F.col("hop") < hop - 1).select("persona_id")
    suspects = (
        parsed.where(F.col("reason").isNull()).select("persona_id", "source_id").join(known, on="persona_id", how="left_semi")
    )
    if suspects.isEmpty():
        return parsed
    at, found = suspects.distinct().withColumn("at", F.col("source_id")), None
    for above in range(hop - 2, -1, -1):
        parents = personas.where(F.col("hop") <= above).select(F.col("persona_id").alias("parent_id"))
        up = lineage.join(parents, on="parent_id", how="left_semi").withColumnRenamed("child_id", "at")
        at = at.join(up, on="at", how="inner").select("persona_id", "source_id", F.col("parent_id").alias("at")).distinct()
        met = at.where(F.col("at") == F.col("persona_id")).select("persona_id", "source_id")
        found = met if found is None else found.unionByName(met)
    if found is None:
        return parsed
    cycle = found.distinct().withColumn("cycle", F.lit(True))
    return transform.refuse_ancestors(parsed.join(cycle, on=["persona_id", "source_id"], how="left"))


STAGE = Stage(
    name=NAME,
    about="buys related personas of each kept one, hop by hop; each hop is deduplicated before the next is paid for",
    writes=WRITES,
    rounds=rounds,
    parse=_parse,
    split=split,
    parsed=("lineage", "parent_id"),
    check=lambda config: transform.load_relations(config.persona_to_persona.relations_file),
    models=models,
    estimate=lambda hub: [],  # `forecast` says it hop by hop
    bound=bound,
    preview=_preview,
)
