"""Exactly so many accepted examples of each task (synthesis.target_accepted).

As many candidates are asked as examples are missing, then again as many as were refused, until none is missing or the candidates, or
max_candidates, are used up. Their order is fixed: a run that goes on asks the same ones, and the ledger answers.
"""

from collections import Counter
from collections.abc import Mapping
from functools import reduce

from pyspark.sql import DataFrame

from personahub.inference import RequestBatch
from personahub.stages.stage import Rounds
from personahub.stages.synthesize import transform
from personahub.stages.synthesize.few_shot import Example
from personahub.stages.synthesize.persona_selection import between, chosen_personas
from personahub.stages.synthesize.results import NAME
from personahub.stages.synthesize.tasks import choose
from personahub.storage.hub import Hub

SCRATCH = "synthesize.candidates"


def rounds(hub: Hub, personas: DataFrame, pool: list[Example]) -> Rounds:
    """personas, pool: see `transform.build`. Returns `missing`: accepted examples that the candidates did not suffice for."""
    settings = hub.config.synthesis
    wanted, limit = settings.target_accepted or 0, max_candidates(hub)
    asked, accepted = dict.fromkeys(choose(hub.config), 0), Counter[str]()
    while True:
        goals = {key: min(limit, at + wanted - accepted[key]) for key, at in asked.items()}
        places = {key: (asked[key], goal) for key, goal in goals.items() if goal > asked[key]}
        if not places:
            break
        requests = hub.store.materialise(candidates(hub, personas, pool, places), SCRATCH)
        try:
            result = yield batch_of(hub, requests)
            made = hub.store.table("examples").select("completion_id")
            good = requests.join(made, on="completion_id", how="left_semi").groupBy("prompt_name").count().collect()
        finally:
            hub.store.drop_scratch(SCRATCH)
        accepted.update({row.prompt_name: row["count"] for row in good})
        asked |= goals
        if result.failed:
            break
    missing = sum(wanted - accepted[key] for key in asked)
    if missing and all(at == limit for at in asked.values()):
        more = "raise synthesis.max_personas or max_candidates, or make more personas"
        hub.ui.say(f"{NAME}: {missing:,} are missing though all {limit:,} candidates of each task were asked: {more}")
    return {"missing": missing} if missing else {}


def candidates(hub: Hub, personas: DataFrame, pool: list[Example], places: Mapping[str, tuple[int, int]]) -> DataFrame:
    """REQUESTS of the candidates from one place of their order to another, by the keys of tasks."""
    seed = hub.config.synthesis.seed
    asked = [transform.build(between(personas, seed, key, *ends), hub.config, [key], pool) for key, ends in places.items()]
    return reduce(DataFrame.unionByName, asked)


def batch_of(hub: Hub, requests: DataFrame) -> RequestBatch:
    config = hub.config
    return RequestBatch(NAME, "examples", requests, config.models[config.synthesis.model], transform.prompts_of(config))


def max_candidates(hub: Hub) -> int:
    """Candidates of a task that may be asked."""
    settings = hub.config.synthesis
    return min(chosen_personas(hub).count(), settings.max_candidates or (settings.target_accepted or 0) * 10)
