"""The stage `synthesize` where exactly so many accepted examples are wanted of each task (synthesis.accepted).

As many candidates are asked as examples are missing, then again as many as were refused, until none is missing or the candidates, or
candidate_budget, are used up. Their order is fixed: a run that goes on asks the same ones, and the ledger answers.
"""

from collections import Counter
from dataclasses import replace

from personahub import synthesis
from personahub.pipeline.hub import Hub
from personahub.pipeline.paid import PAID, buy_and_parse
from personahub.pipeline.synthesize import candidates

SCRATCH = "synthesize.round"


def run(hub: Hub) -> dict[str, int]:
    """Returns the counts of the stage, `missing` among them: accepted examples that the candidates did not suffice for."""
    settings, paid = hub.config.synthesis, PAID[synthesis.STAGE]
    if settings.accepted is None:
        return buy_and_parse(hub, synthesis.STAGE, paid)
    limit = most(hub)
    asked = dict.fromkeys(synthesis.choose(hub.config), 0)
    accepted, counts = Counter[str](), Counter[str]()
    while True:
        goals = {key: min(limit, at + settings.accepted - accepted[key]) for key, at in asked.items()}
        places = {key: (asked[key], goal) for key, goal in goals.items() if goal > asked[key]}
        if not places or counts["failed"]:
            break
        order = candidates.more(hub, hub.config.models[settings.model], places)
        order = replace(order, requests=hub.store.materialise(order.requests, SCRATCH))
        try:
            counts.update(buy_and_parse(hub, synthesis.STAGE, replace(paid, build=lambda hub, model, order=order: order)))
            made = hub.store.table("examples").select("completion_id")
            good = order.requests.join(made, on="completion_id", how="left_semi").groupBy("prompt_name").count().collect()
        finally:
            hub.store.drop_scratch(SCRATCH)
        accepted.update({row.prompt_name: row["count"] for row in good})
        asked |= goals
    missing = sum(settings.accepted - accepted[key] for key in asked)
    return {**counts, "missing": missing} if missing else dict(counts)


def most(hub: Hub) -> int:
    """Candidates of a task that may be asked."""
    settings = hub.config.synthesis
    return min(candidates.people_of(hub).count(), settings.candidate_budget or (settings.accepted or 0) * 10)
