"""`run dedup --of examples`: examples of a task whose texts are near-duplicates; the verdicts go to `duplicates`, with the kind example.

All are compared each time, those of earlier runs above those of later ones: a verdict that has fallen falls again, and stays.
"""

from collections import Counter
from functools import reduce

from pyspark.sql import functions as F

from personahub import schemas
from personahub.dedup import by_words
from personahub.rows import Materialise
from personahub.stages.synthesize.few_shot_from_hub import text_of
from personahub.storage.hub import Hub
from personahub.storage.views import live_examples

KIND = "example"


def run(hub: Hub) -> dict[str, int]:
    """Returns how many examples were compared, are identical to another, near one, kept, and could not be compared; all that there are."""
    counts = Counter(compared=0, identical=0, lexical=0, kept=0, rejects=0)
    for row in hub.store.table("examples").select("task").distinct().orderBy("task").collect():
        with hub.store.scope(f"examples.{row.task}") as materialise:
            counts.update(_of_task(hub, row.task, materialise))
    return dict(counts)


def _of_task(hub: Hub, task: str, materialise: Materialise) -> dict[str, int]:
    examples = live_examples(hub.store.table).where(F.col("task") == task)
    runs = sorted(row.run_id for row in examples.select("run_id").distinct().collect())
    level = reduce(
        lambda when, run: when.when(F.col("run_id") == run[1], run[0]), enumerate(runs[1:], 2), F.when(F.lit(False), 0)
    )
    text = text_of(task, hub.config).alias("text")
    rows = materialise(examples.select(F.col("example_id").alias("id"), F.coalesce(level, F.lit(1)).alias("level"), text), "new")
    duplicates, refused = by_words(rows, hub.config.dedup.lexical, materialise)
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
