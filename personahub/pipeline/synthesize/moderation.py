"""What was parsed goes past a moderation model, where one is configured, before it becomes examples."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub import synthesis
from personahub.buy import Order, buy
from personahub.errors import TransientFailures
from personahub.pipeline.hub import Hub
from personahub.synthesis import moderation

SCRATCH = ("synthesize.parsed", "synthesize.moderated")


def moderated(hub: Hub, parsed: DataFrame) -> DataFrame:
    """PARSED -> PARSED, where what the model finds unsafe is a reject. Its answers are bought once, as all are.

    Raises TransientFailures where some failed in passing: what is not judged is neither accepted nor refused, and nobody else is asked
    in its place.
    """
    name = hub.config.synthesis.moderation_model
    if name is None:
        return parsed
    parsed = hub.store.materialise(parsed, SCRATCH[0])
    asked = hub.store.materialise(moderation.ask(parsed, hub.config), SCRATCH[1])
    if asked.isEmpty():
        return parsed
    order = Order(synthesis.STAGE, moderation.requests(asked), hub.config.models[name], moderation.prompts_of())
    bought = buy(hub.store, hub.config, hub.run_id, order, hub.ui, hub.lease)
    if bought.failed:
        raise TransientFailures(
            f"synthesize: {bought.failed:,} calls of moderation failed in passing: run again to ask for those"
        )
    return moderation.judged(asked, hub.store.table("completions")).unionByName(parsed.where(F.col("reason").isNotNull()))
