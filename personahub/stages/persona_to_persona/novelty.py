"""How many of a hop's personas are new: measured window by window while the hop is bought, so that paying ends where little is new.

Measuring decides nothing about any persona: the verdicts fall later, once, over all children of the hop. What is measured goes to the table
`hop_novelty`, and whether buying for a hop has ended follows from these rows and persona_to_persona.min_novelty: a lower one lets it go on.
"""

from collections.abc import Iterable
from datetime import datetime, timezone

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from personahub import schemas
from personahub.dedup import by_words
from personahub.rows import Materialise
from personahub.stages.dedup.index import indexed
from personahub.stages.persona_to_persona import transform
from personahub.storage.hub import Hub

MIN_PERSONAS = 200  # personas that a rate is taken of: of fewer windows, of several together


class Novelty:
    """The early stop of one hop (see `inference.early_stop`): called with the requests of each window, in order, once it is committed.

    A call measures the window's novelty, records it in `hop_novelty`, and returns `stop_reason`. `end` drops its scratch.
    """

    def __init__(self, hub: Hub, hop: int, materialise: Materialise) -> None:
        self.hub, self.hop, self._write = hub, hop, materialise
        self.floor = hub.config.persona_to_persona.min_novelty
        self.windows = 0
        self.seen: list[DataFrame] = []  # of the windows before: id
        self.stored: list[DataFrame] = []  # and those of them that were new, as dedup stores texts

    def __call__(self, requests: DataFrame) -> str | None:
        """Why no more is to be bought, or None."""
        produced, novel = self._measured(requests)
        row = (self.hop, self.hub.run_id, self.windows, produced, novel, datetime.now(timezone.utc))
        self.hub.store.record([row], "hop_novelty")
        self.windows += 1
        return stop_reason(self.hub, self.hop)

    def _measured(self, requests: DataFrame) -> tuple[int, int]:
        """How many personas the window gave, and how many are new: no duplicates, by words, of one of the hub or an earlier window."""
        from personahub.dedup import jaccard_join  # here, because numba takes its time to import

        hub, config = self.hub, self.hub.config
        asked = requests.select(*schemas.REQUESTS.names)
        parsed = transform.parse(asked, hub.store.table("completions"), config, self.hop).where(F.col("reason").isNull())
        made = self._materialise(
            parsed.select(F.col("persona_id").alias("id"), F.lit(1).alias("level"), F.col("persona").alias("text")), "made"
        )
        new = made.dropDuplicates(["id"])
        for known in (hub.store.table("personas").select(F.col("persona_id").alias("id")), *self.seen):
            new = new.join(known, on="id", how="left_anti")
        new = self._materialise(new, "new")
        hub_texts = indexed(hub)
        for one in self.stored:
            hub_texts = hub_texts.unionByName(one, allowMissingColumns=True)
        duplicates, rejects = by_words(new, config.dedup.lexical, self._materialise, hub_texts)
        removed = duplicates.select("id").unionByName(rejects.select("id"))
        novel = self._materialise(new.join(removed, on="id", how="left_anti"), "novel")
        self.seen.append(new.select("id"))
        self.stored.append(self._materialise(jaccard_join.to_index(novel, config.dedup.lexical), "stored"))
        return made.count(), novel.count()

    def _materialise(self, rows: DataFrame, name: str) -> DataFrame:
        return self._write(rows, f"{self.windows}.{name}")


def stop_reason(hub: Hub, hop: int) -> str | None:
    """Why no more is bought for a hop: what was measured last is below the floor. None: it is not."""
    floor = hub.config.persona_to_persona.min_novelty
    if not floor:
        return None
    rows = hub.store.table("hop_novelty").where(F.col("hop") == hop).orderBy(F.desc("created_at"), F.desc("window")).collect()
    rate = _last_rate(rows)
    if rate is None or rate >= floor:
        return None
    return f"novelty {rate:.2f} is below persona_to_persona.min_novelty {floor:g}"


def _last_rate(rows: Iterable[Row]) -> float | None:
    """rows: newest first. The share of new ones among the MIN_PERSONAS personas made last, or a few more; None where there are fewer."""
    produced = novel = 0
    for row in rows:
        produced, novel = produced + row.produced, novel + row.novel
        if produced >= MIN_PERSONAS:
            return novel / produced
    return None
