"""What derives only from some documents or personas: what goes when they are taken down."""

from functools import reduce
from itertools import count

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub.rows import Materialise
from personahub.storage.views import Tables, without


def only_from(table: Tables, named: DataFrame, materialise: Materialise) -> DataFrame:
    """named: id, of documents or personas -> id of the personas that are reached through them alone, those named among them.

    A persona that is also reached from another document, from an import or from a persona that stays, stays; one that was taken down
    before leads nowhere. Reads lineage, which may hold circles, personas and tombstones.
    """
    dead = table("tombstones").where(F.col("kind") != "example").select("id").unionByName(named).distinct()
    edges = table("lineage").select("parent_id", "child_id").distinct()
    below = materialise(_reached(edges, named, materialise, "down"), "below")
    living = without(without(edges, "parent_id", dead), "child_id", dead)
    into = living.join(below.select(F.col("id").alias("child_id")), on="child_id", how="left_semi")
    saved = materialise(without(into, "parent_id", below).select(F.col("child_id").alias("id")).distinct(), "saved")
    stay = _reached(into, saved, materialise, "stay").unionByName(saved)
    personas = table("personas").select(F.col("persona_id").alias("id"))
    return without(personas.join(below.unionByName(named).distinct(), on="id", how="left_semi"), "id", stay)


def _reached(edges: DataFrame, start: DataFrame, materialise: Materialise, name: str) -> DataFrame:
    """Id of all that edges lead to from `start`: step by step, until a step finds none that is new."""
    levels = [start.limit(0)]
    at = start
    for step in count():
        below = edges.join(at.select(F.col("id").alias("parent_id")), on="parent_id", how="left_semi")
        below = below.select(F.col("child_id").alias("id")).distinct()
        at = materialise(without(below, "id", *levels), f"{name}-{step}")
        if at.isEmpty():
            break
        levels.append(at)
    return reduce(DataFrame.unionByName, levels)
