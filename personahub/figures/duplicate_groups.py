"""The largest groups of rows that are alike: who stands for them, and a few of those it stands for."""

from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

FEW = 100_000  # members of groups that Spark gives to every executor
EXCERPT = 300  # characters of a text


@dataclass(frozen=True)
class Member:
    id: Any
    text: str | None
    method: str
    score: float


@dataclass(frozen=True)
class Group:
    """A kept row, how many rows it stands for (itself not counted), and some of these: least alike first, each text once."""

    id: Any
    text: str | None
    size: int
    members: tuple[Member, ...]


def largest_groups(texts: DataFrame, duplicates: DataFrame, n: int = 10, shown: int = 3) -> tuple[Group, ...]:
    """texts: id, text of all rows; duplicates: id, representative, method, score -> up to `n` groups by size, then id."""
    ends = duplicates.select("id", "method", "score", F.col("representative").alias("root"))
    largest = ends.groupBy("root").agg(F.count("*").alias("size")).orderBy(F.col("size").desc(), "root").limit(n)
    wanted = ends.join(F.broadcast(largest), on="root", how="inner")
    if sum(row.size for row in largest.select("size").collect()) <= FEW:  # on Spark, so that the texts need not be shuffled
        wanted = F.broadcast(wanted)
    excerpt = texts.select("id", F.substring("text", 1, EXCERPT).alias("text"))
    members = wanted.join(excerpt, on="id", how="inner")
    # of the members with one text the least id; vectors may come without texts
    once = Window.partitionBy("root", F.coalesce("text", F.col("id").cast("string"))).orderBy("id")
    order = Window.partitionBy("root").orderBy("score", "id")
    distinct = members.withColumn("again", F.row_number().over(once)).where(F.col("again") == 1)
    few = distinct.withColumn("place", F.row_number().over(order)).where(F.col("place") <= shown + 1)
    roots = F.broadcast(largest.select(F.col("root").alias("id"))).join(excerpt, on="id", how="inner")
    columns = few.select("root", "size", "id", "text", "method", "score")
    rows = columns.unionByName(roots.select(F.col("id").alias("root"), "id", "text"), allowMissingColumns=True).collect()
    return _groups(rows, shown)


def _groups(rows: list[Any], shown: int) -> tuple[Group, ...]:
    kept = {row.root: row.text for row in rows if row.method is None}
    sizes = {row.root: row.size for row in rows if row.method is not None}
    groups = []
    for root in sorted(sizes, key=lambda root: (-sizes[root], root)):
        others = [row for row in rows if row.root == root and row.method is not None]
        others = [row for row in others if row.text is None or row.text != kept.get(root)]
        others.sort(key=lambda row: (row.score, row.id))
        members = tuple(Member(row.id, row.text, row.method, row.score) for row in others[:shown])
        groups.append(Group(root, kept.get(root), sizes[root], members))
    return tuple(groups)
