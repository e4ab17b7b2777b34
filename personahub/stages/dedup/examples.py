"""`run dedup --of examples`: examples of a task whose texts are near-duplicates; the verdicts go to `duplicates`, with the kind example.

All are compared each time, those of earlier runs above those of later ones: a verdict that has fallen falls again, and stays.
"""

from collections import Counter
from collections.abc import Callable
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub import schemas
from personahub.dedup import by_words
from personahub.stages.synthesize.few_shot_from_hub import text_of
from personahub.storage.hub import Hub

KIND = "example"


def run(hub: Hub) -> dict[str, int]:
    """Returns how many examples were compared, are identical to another, near one, kept, and could not be compared; all that there are."""
    names, counts = list[str](), Counter(compared=0, identical=0, lexical=0, kept=0, rejects=0)
    try:
        for task in [row.task for row in hub.store.table("examples").select("task").distinct().orderBy("task").collect()]:

            def materialise(rows: DataFrame, name: str, task: str = task) -> DataFrame:
                names.append(f"examples.{task}.{name}")
                return hub.store.materialise(rows, names[-1])

            counts.update(_of_task(hub, task, materialise))
    finally:
        hub.store.drop_scratch(*names)
    return dict(counts)


def _of_task(hub: Hub, task: str, materialise: Callable[[DataFrame, str], DataFrame]) -> dict[str, int]:
    gone = hub.store.table("tombstones").where(F.col("kind") == KIND).select(F.col("id").alias("example_id"))
    examples = hub.store.table("examples").where(F.col("task") == task).join(gone, on="example_id", how="left_anti")
    runs = sorted(row.run_id for row in examples.select("run_id").distinct().collect())
    level = reduce(
        lambda when, run: when.when(F.col("run_id") == run[1], run[0]), enumerate(runs[1:], 2), F.when(F.lit(False), 0)
    )
    text = text_of(task, hub.config).alias("text")
    rows = materialise(examples.select(F.col("example_id").alias("id"), F.coalesce(level, F.lit(1)).alias("level"), text), "new")
    duplicates, refused, _ = by_words(rows, hub.config.dedup.lexical, materialise)
    found = duplicates.withColumn("kind", F.lit(KIND)).select(*schemas.DUPLICATES.names)
    hub.store.insert_new(found, "duplicates")
    by_method = {row.method: row["count"] for row in found.groupBy("method").count().collect()}
    compared, identical, rejects = rows.count(), by_method.pop("identical", 0), refused.count()
    lexical = sum(by_method.values())
    return {
        "compared": compared,
        "identical": identical,
        "lexical": lexical,
        "rejects": rejects,
        "kept": compared - identical - lexical - rejects,
    }
