"""The stage `persona-to-persona`: hop by hop, each deduplicated before the next is paid for (paper, section 2.2).

1. Dedup decides on everyone who is there: nobody is asked whom another represents.
2. The frontier of a hop is the kept personas of the hop before or, where these are more than max_frontier, some of them. It is frozen: its
   requests go to the table `requests` before the first call, and a run that goes on asks exactly these (frontier.py).
3. They are bought and read back; their personas have the hop's number. With min_novelty a hop ends, and the stage with it, where too few
   of them are new (novelty.py).
"""

from collections.abc import Callable, Iterator
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub import persona_to_persona, personas
from personahub.pipeline import dedup, forecast
from personahub.pipeline.frontier import STAGE, freeze, model_of, order_of, requests
from personahub.pipeline.hub import Hub
from personahub.pipeline.novelty import Novelty, closed
from personahub.pipeline.paid import OF_PERSONAS, Paid, buy_and_parse

Step = tuple[str, Callable[[Hub], dict[str, int]]]


def steps(hub: Hub) -> Iterator[Step]:
    """What is to be done, one after the other; each is asked for when the one before has ended. Ends where there is nobody to ask."""
    hops = hub.config.persona_to_persona.hops
    if hops:
        yield dedup.STAGE, dedup.run
    for hop in range(1, hops + 1):
        if closed(hub, hop) is None:
            freeze(hub, hop)
        if requests(hub, hop).isEmpty():
            return
        yield STAGE, partial(_one_hop, hop=hop)
        yield dedup.STAGE, dedup.run
        if reason := closed(hub, hop):
            hub.ui.say(f"{STAGE} ends with hop {hop}: {reason}")
            return


def _one_hop(hub: Hub, hop: int) -> dict[str, int]:
    forecast.record(hub, hop)
    asked = requests(hub, hop)
    answered = hub.store.table("completions").where("final").select("completion_id")
    there = asked.join(answered, on="completion_id", how="left_semi")
    ended = closed(hub, hop) is not None
    order = order_of(hub, there if ended else asked)  # of a hop that has ended, what is there is read back, and nothing bought
    paid = Paid(
        model=model_of,
        build=lambda hub, model: order,
        parse=lambda hub, requests, completions: _without_cycles(
            hub, persona_to_persona.parse(requests, completions, hub.config, hop), hop
        ),
        split=personas.split,
        tables=OF_PERSONAS,
        made=("lineage", "parent_id"),
    )
    if ended or not hub.config.persona_to_persona.min_novelty:
        return {"hop": hop, **buy_and_parse(hub, STAGE, paid)}
    judge = Novelty(hub, hop)
    try:
        if not there.isEmpty():  # what a run that died has bought
            judge(there)
        return {"hop": hop, **buy_and_parse(hub, STAGE, paid, judge)}
    finally:
        judge.end()


def _without_cycles(hub: Hub, parsed: DataFrame, hop: int) -> DataFrame:
    """PARSED, where a persona that its own parent descends from is a reject, own_ancestor. Descent goes from a lower to a higher hop."""
    parsed = hub.store.materialise(parsed, f"{STAGE}.parsed")
    people = hub.store.table("personas").select("persona_id", "hop")
    lineage = hub.store.table("lineage").select("child_id", "parent_id")
    known = people.where(F.col("hop") < hop - 1).select("persona_id")
    suspects = (
        parsed.where(F.col("reason").isNull()).select("persona_id", "source_id").join(known, on="persona_id", how="left_semi")
    )
    if suspects.isEmpty():
        return parsed
    at, found = suspects.distinct().withColumn("at", F.col("source_id")), None
    for above in range(hop - 2, -1, -1):
        parents = people.where(F.col("hop") <= above).select(F.col("persona_id").alias("parent_id"))
        up = lineage.join(parents, on="parent_id", how="left_semi").withColumnRenamed("child_id", "at")
        at = at.join(up, on="at", how="inner").select("persona_id", "source_id", F.col("parent_id").alias("at")).distinct()
        met = at.where(F.col("at") == F.col("persona_id")).select("persona_id", "source_id")
        found = met if found is None else found.unionByName(met)
    if found is None:
        return parsed
    cycle = found.distinct().withColumn("cycle", F.lit(True))
    return persona_to_persona.refuse_ancestors(parsed.join(cycle, on=["persona_id", "source_id"], how="left"))
