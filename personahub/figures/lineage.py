"""Where a persona comes from, up to the documents, and who was found through it."""

from dataclasses import dataclass

from pyspark.sql import functions as F

from personahub.storage.views import Tables, duplicates_of_kind, taken_down

UP, SHOWN = 12, 200  # steps up at most; of those below, rows that are shown


@dataclass(frozen=True)
class Step:
    """One persona or, at the top, one document (hop is None; text its first characters). relation: to the one above it."""

    id: str
    relation: str | None
    text: str
    hop: int | None
    url: str | None = None


@dataclass(frozen=True)
class Below:
    """A persona found through another: its depth below it and its parent; duplicate_of: the one it is a duplicate of, if it is."""

    id: str
    parent_id: str
    depth: int
    relation: str
    text: str
    duplicate_of: str | None


@dataclass(frozen=True)
class Lineage:
    """ways: the way up of each first discovery, the persona itself first; the first one is that of least hops. below: depth first.

    duplicate_of: as in Below; taken_down: it is in tombstones. more: how many below are not shown.
    """

    ways: tuple[tuple[Step, ...], ...]
    below: tuple[Below, ...]
    duplicate_of: str | None
    taken_down: bool
    more: int


def lineage(table: Tables, persona_id: str) -> Lineage | None:
    """None: there is no such persona. Each step up or down is one query, on the rows that the one before named."""
    own = _personas(table, [persona_id])
    if not own:
        return None
    text, hop = own[persona_id]
    duplicates = duplicates_of_kind(table, "persona").where(F.col("id") == persona_id).collect()
    taken = not taken_down(table, "persona").where(F.col("id") == persona_id).isEmpty()
    below, more = _below(table, persona_id)
    return Lineage(
        ways=_ways(table, Step(persona_id, None, text or "", hop)),
        below=below,
        duplicate_of=duplicates[0].duplicate_of if duplicates else None,
        taken_down=taken,
        more=more,
    )


def _ways(table: Tables, start: Step) -> tuple[tuple[Step, ...], ...]:
    """Of each persona on the way the first discovery, of the first one all of them."""
    edges = table("lineage").where(F.col("child_id") == start.id).orderBy("completion_id", "parent_id", "relation").collect()
    ways = []
    for edge in edges:
        way, seen, at = [start], {start.id}, edge
        while at is not None and at.parent_id not in seen and len(way) < UP:
            way[-1] = Step(way[-1].id, at.relation, way[-1].text, way[-1].hop)
            above = _personas(table, [at.parent_id])
            if not above:
                way.append(_document(table, at.parent_id))
                break
            seen.add(at.parent_id)
            text, hop = above[at.parent_id]
            way.append(Step(at.parent_id, None, text or "", hop))
            at = _first_discovery(table, at.parent_id, hop)
        ways.append(tuple(way))
    return tuple(sorted(ways, key=len)) or ((start,),)


def _first_discovery(table: Tables, persona_id: str, hop: int):
    """The edge by which it was found: from the hop before, the first by completion."""
    edges = table("lineage").where(F.col("child_id") == persona_id).orderBy("completion_id", "parent_id", "relation").collect()
    parents = _personas(table, [edge.parent_id for edge in edges])
    for edge in edges:
        if (parents[edge.parent_id][1] if edge.parent_id in parents else -1) == hop - 1:
            return edge
    return edges[0] if edges else None


def _below(table: Tables, persona_id: str) -> tuple[tuple[Below, ...], int]:
    found: dict[str, Below] = {}
    children: dict[str, list[str]] = {}
    level, depth = [persona_id], 0
    while level and len(found) <= SHOWN:
        depth += 1
        edges = (
            table("lineage").where(F.col("parent_id").isin(level)).orderBy("parent_id", "relation", "child_id").limit(2 * SHOWN)
        )
        rows = [row for row in edges.collect() if row.child_id not in found and row.child_id != persona_id]
        ids = sorted({row.child_id for row in rows})
        texts = _personas(table, ids)
        duplicates = duplicates_of_kind(table, "persona").where(F.col("id").isin(ids))
        duplicate_of = {row.id: row.duplicate_of for row in duplicates.collect()} if ids else {}
        for row in rows:
            if row.child_id not in found:
                text = texts.get(row.child_id, ("", 0))[0] or ""
                found[row.child_id] = Below(
                    row.child_id, row.parent_id, depth, row.relation, text, duplicate_of.get(row.child_id)
                )
                children.setdefault(row.parent_id, []).append(row.child_id)
        level = ids
    ordered: list[Below] = []
    stack = list(reversed(children.get(persona_id, [])))
    while stack:
        one = stack.pop()
        ordered.append(found[one])
        stack += reversed(children.get(one, []))
    return tuple(ordered[:SHOWN]), max(0, len(ordered) - SHOWN)


def _personas(table: Tables, ids: list[str]) -> dict[str, tuple[str | None, int]]:
    if not ids:
        return {}
    rows = table("personas").where(F.col("persona_id").isin(ids)).collect()
    return {row.persona_id: (row.persona, row.hop) for row in rows}


def _document(table: Tables, document_id: str) -> Step:
    rows = (
        table("documents")
        .where(F.col("document_id") == document_id)
        .select("url", F.substring("text", 1, 300).alias("text"))
        .collect()
    )
    if rows:
        return Step(document_id, None, rows[0].text or "", None, rows[0].url)
    return Step(document_id, None, "(imported)", None)
