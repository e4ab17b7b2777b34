"""Few-shot examples from the hub itself. Its table of examples changes, so a pool is frozen in `few_shot_pool` when it is first drawn.

A takedown of a persona takes its examples from the pool.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from personahub import schemas
from personahub.config import Config
from personahub.ids import content_id
from personahub.stages.synthesize import transform
from personahub.stages.synthesize.few_shot import Example
from personahub.stages.synthesize.tasks import CONVERSATION, choose
from personahub.storage.hub import Hub
from personahub.storage.views import taken_down, valid_examples, without


def frozen_pool(hub: Hub) -> list[Example]:
    """few_shot.pool_size accepted examples of each task, or all there are, by few_shot.seed.

    Drawn now where none are frozen, and frozen if the hub was opened to spend.
    """
    return [one for task in sorted({task.name for task in choose(hub.config).values()}) for one in _of(hub, task)]


def text_of(task: str, config: Config) -> Column:
    """The field of a task's `content` that other stages read: of a conversation its first turn."""
    path = "$.messages[0].content" if task == CONVERSATION else f"$.{transform.text_field(task, config)}"
    return F.get_json_object("content", path)


def _of(hub: Hub, task: str) -> list[Example]:
    settings, table = hub.config.synthesis.few_shot, hub.store.table
    draw = f"{task} {settings.pool_size} {settings.seed}"
    pool = table("few_shot_pool").where(F.col("draw") == draw)
    if pool.isEmpty():
        pool = hub.store.materialise(_drawn(hub, task, draw), f"synthesize.pool.{task}")
        count = pool.count()
        if hub.can_spend and count >= settings.n:
            hub.store.insert_new(pool, "few_shot_pool")
            hub.ui.say(
                f"synthesize: prompts draw from {count:,} examples of {task}, frozen now; another few_shot.seed freezes others"
            )
    shown = without(pool.where(F.col("text").isNotNull()), "persona_id", taken_down(table, "persona"))
    return [Example(row.text, task, row.persona) for row in shown.orderBy("position").collect()]


def _drawn(hub: Hub, task: str, draw: str) -> DataFrame:
    """Rows of `few_shot_pool`."""
    settings = hub.config.synthesis.few_shot
    examples = valid_examples(hub.store.table).where(F.col("task") == task).withColumn("text", text_of(task, hub.config))
    place = F.xxhash64("example_id", F.lit(content_id(f"few_shot {settings.seed}")))
    drawn = examples.where(F.trim("text") != "").orderBy(place, "example_id").limit(settings.pool_size)
    rows = drawn.join(hub.store.table("personas").select("persona_id", "persona"), on="persona_id", how="inner")
    position = F.row_number().over(Window.orderBy(place, "example_id"))
    return rows.withColumns({"draw": F.lit(draw), "position": position}).select(*schemas.FEW_SHOT_POOL.names)
