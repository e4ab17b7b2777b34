"""Examples that prompts show from the hub itself: its table moves, so that they are frozen in `requests` when they are first drawn.

A row each: `stage` names the draw, `source_id` is the persona, `variables` what is shown. A takedown of the persona takes it from there.
"""

from functools import reduce

import orjson
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from personahub import schemas, synthesis
from personahub.config import Config
from personahub.ids import content_id
from personahub.pipeline.hub import Hub
from personahub.synthesis.few_shot import Example


def frozen(hub: Hub) -> list[Example]:
    """few_shot.pool accepted examples of each task, or all there are, by few_shot.seed. Drawn now where none are frozen, and frozen if the
    hub was opened to spend.
    """
    return [one for task in sorted({task.name for task in synthesis.choose(hub.config).values()}) for one in _of(hub, task)]


def text_of(task: str, config: Config) -> Column:
    """What a task's `content` says to other stages: of a conversation its first turn."""
    path = "$.messages[0].content" if task == synthesis.CONVERSATION else f"$.{synthesis.text_field(task, config)}"
    return F.get_json_object("content", path)


def valid(hub: Hub) -> DataFrame:
    """EXAMPLES without those taken down, near-duplicates of others, and those that an expert found invalid."""
    table, of_examples = hub.store.table, F.col("kind") == "example"
    gone = [
        table("tombstones").where(of_examples).select("id"),
        table("duplicates").where(of_examples).select("id"),
        table("verdicts").where(F.col("verdict") == "invalid").select(F.col("example_id").alias("id")),
    ]
    return table("examples").join(reduce(DataFrame.unionByName, gone), F.col("example_id") == F.col("id"), "left_anti")


def _of(hub: Hub, task: str) -> list[Example]:
    settings, table = hub.config.synthesis.few_shot, hub.store.table
    stage = f"few_shot {task} {settings.pool} {settings.seed}"
    there = table("requests").where(F.col("stage") == stage)
    if there.isEmpty():
        there = hub.store.materialise(_drawn(hub, task, stage), f"synthesize.shown.{task}")
        count = there.count()
        if hub.lease is not None and count >= settings.n:
            hub.store.insert_new(there, "requests")
            hub.ui.say(
                f"synthesize: prompts draw from {count:,} examples of {task}, frozen now; another few_shot.seed freezes others"
            )
    gone = table("tombstones").where(F.col("kind") == "persona").select(F.col("id").alias("source_id"))
    living = there.where(F.col("variables").isNotNull()).join(gone, on="source_id", how="left_anti")
    shown = [orjson.loads(row.variables) for row in living.orderBy("sample_index").collect()]
    return [Example(one["text"], task, one.get("persona")) for one in shown]


def _drawn(hub: Hub, task: str, stage: str) -> DataFrame:
    """REQUESTS, a row an example."""
    settings = hub.config.synthesis.few_shot
    examples = valid(hub).where(F.col("task") == task).withColumn("text", text_of(task, hub.config))
    place = F.xxhash64("example_id", F.lit(content_id(f"few_shot {settings.seed}")))
    drawn = examples.where(F.trim("text") != "").orderBy(place, "example_id").limit(settings.pool)
    rows = drawn.join(hub.store.table("personas").select("persona_id", "persona"), on="persona_id", how="inner")
    number = F.row_number().over(Window.orderBy(place, "example_id"))
    return rows.select(
        F.lit(stage).alias("stage"),
        F.col("persona_id").alias("source_id"),
        number.alias("sample_index"),
        "completion_id",
        F.lit(task).alias("prompt_name"),
        F.to_json(F.struct("example_id", "persona", "text")).alias("variables"),
    ).select(*schemas.REQUESTS.names)
