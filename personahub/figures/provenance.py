"""What derives only from some documents or personas: what goes when they are taken down."""

from collections.abc import Callable
from functools import reduce
from itertools import count

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

Materialise = Callable[[DataFrame, str], DataFrame]


def only_from(table: Callable[[str], DataFrame], named: DataFrame, materialise: Materialise) -> DataFrame:
    """named: id, of documents or personas -> id of the personas that are reached through them alone, those named among them.

    A persona that is also reached from another document, from an import or from a persona that stays, stays; one that was taken down
    before leads nowhere. Reads lineage, which may hold circles, personas and tombstones.
    """
    dead = table("tombstones").where(F.col("kind") != "example").select("id").unionByName(named).distinct()
    edges = table("lineage").select("parent_id", "child_id").distinct()
    below = materialise(_reached(edges, named, materialise, "down"), "below")
    living = _without(_without(edges, dead, "parent_id"), dead, "child_id")
    into = living.join(below.select(F.col("id").alias("child_id")), on="child_id", how="left_semi")
    saved = materialise(_without(into, below, "parent_id").select(F.col("child_id").alias("id")).distinct(), "saved")
    stay = _reached(into, saved, materialise, "stay").unionByName(saved)
    personas = table("personas").select(F.col("persona_id").alias("id"))
    return _without(personas.join(below.unionByName(named).distinct(), on="id", how="left_semi"), stay, "id")


def _reached(edges: DataFrame, start: DataFrame, materialise: Materialise, name: str) -> DataFrame:
    """Id of all that edges lead to from `start`: step by step, until a step finds none that is new."""
    levels = [start.limit(0)]
    at = start
    for step in count():
        below = edges.join(at.select(F.col("id").alias("parent_id")), on="parent_id", how="left_semi")
        below = below.select(F.col("child_id").alias("id")).distinct()
        at = materialise(reduce(lambda rows, known: _without(rows, known, "id"), levels, below), f"{name}-{step}")
        if at.isEmpty():
            break
        levels.append(at)
    return reduce(DataFrame.unionByName, levels)


def _without(rows: DataFrame, ids: DataFrame, column: str) -> DataFrame:
    return rows.join(ids.select(F.col("id").alias(column)), on=column, how="left_anti")
