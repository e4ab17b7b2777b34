"""Deduplication of any DataFrame: `deduplicate_frame`, and what the tool on files shares with it.

The rows are staged first: written once with an id, so that all later steps read the same rows. Each row is then kept, a duplicate or a
reject; the counts of these must sum up to the input.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub.config import Dedup
from personahub.dedup import by_vectors, by_words
from personahub.dedup_tool.rows import check_columns, check_ids, text_of, with_ids
from personahub.dedup_tool.scratch import Scratch, scratch_root, temporary
from personahub.errors import ConfigError, InputError, PersonahubError
from personahub.storage.delta import Store

BROADCAST_ROWS = 1_000_000  # ids that every executor gets, some 100 MB, so that the rows need not be shuffled
EXCERPT = 200  # characters of a refused text that a reject shows
_WHY = {
    "empty_text": "no word in it",
    "too_long": "more distinct words (or n-grams) than are compared",
    "no_vector": "the vector is null or empty",
    "vector_dimension": "the vector is not as long as most",
    "vector_not_finite": "the vector holds a null, NaN or infinite number",
    "vector_zero": "the vector is zero",
}


@dataclass(frozen=True)
class Counts:
    """rows = kept + duplicates + rejects."""

    rows: int
    kept: int
    duplicates: dict[str, int]  # by method: identical, exact, minhash, semantic
    rejects: dict[str, int]  # by reason


@dataclass(frozen=True)
class Deduplicated:
    """The rows that are kept, those that are duplicates, and those that were not compared.

    kept: the rows and columns of the input. duplicates: see `dedup.by_words`. rejects: id (null: a line that is no row), reason, detail.
    texts: id, text of every row. compared: id, level, and text or vector. All read scratch files, which `close` removes, as does the end of
    a `with`.
    """

    kept: DataFrame
    duplicates: DataFrame
    rejects: DataFrame
    texts: DataFrame
    compared: DataFrame
    counts: Counts
    close: Callable[[], None]

    def __enter__(self) -> "Deduplicated":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def deduplicate_frame(
    rows: DataFrame,
    text_column: str = "persona",
    id_column: str | None = None,
    *,
    vector_column: str | None = None,
    config: Dedup | None = None,
    scratch: str | None = None,
) -> Deduplicated:
    """The rows of a DataFrame that are kept, in the frame's own session, also over Connect.

    id_column: strings or whole numbers, distinct; of similar rows the one with the smallest id is kept. Without it the id is
    `personahub.ids.persona_id` of the text, with -1, -2, ... on further rows of one normalised text. vector_column: arrays of numbers,
    of one dimension; then they are compared, by cosine, and the texts are not. config: `dedup` of a configuration. scratch: a folder
    that all workers reach, or `catalog.schema`; None: a temporary folder, where the engine runs on this machine alone.

    Raises InputError for columns that are wrong and ids that are null or repeat, ConfigError for settings.
    """
    if not hasattr(rows, "sparkSession"):
        raise InputError(
            f"rows is a {type(rows).__name__}, and no DataFrame of Spark: spark.createDataFrame(...) makes one of it"
        )
    own = temporary(rows.sparkSession) if scratch is None else None
    frames = Scratch(Store(rows.sparkSession, scratch_root(scratch or str(own))))

    def close() -> None:
        frames.drop()
        if own is not None:
            shutil.rmtree(own, ignore_errors=True)

    try:
        return separate(frames, rows, text_column, id_column, vector_column, config or Dedup(), close=close)
    except BaseException:
        close()
        raise


def separate(
    frames: Scratch,
    rows: DataFrame,
    text_column: str,
    id_column: str | None,
    vector_column: str | None,
    config: Dedup,
    *,
    still: bool = False,
    close: Callable[[], None] = lambda: None,
    report: Callable[[str], None] = lambda _: None,
) -> Deduplicated:
    """`deduplicate_frame` on scratch of the caller; `report` is called with each step.

    still: the rows are cheap to read and the same each time; if they have an id column, they are not staged.
    """
    config = for_columns(config, vector_column)
    check_columns(rows, text_column, id_column, vector_column)
    report("reading")
    staged = with_ids(rows, text_column, id_column)
    if not (still and id_column is not None):
        staged = frames.materialise(staged, "tool.input")
    if id_column is not None:
        check_ids(staged, id_column)
    report("comparing")
    whole = staged.where(F.col("unreadable").isNull())
    compared = comparable(whole, text_column, vector_column)
    if vector_column is None:
        duplicates, refused = by_words(compared, config.lexical, frames.materialise)
    else:
        duplicates, refused = by_vectors(compared, config.semantic, frames.materialise)
    duplicates = frames.materialise(duplicates, "tool.duplicates")
    texts = whole.select("id", text_of(rows.schema, text_column).alias("text"))
    rejects = frames.materialise(_rejects(staged, texts, refused), "tool.rejects")
    removed = duplicates.select("id").unionByName(rejects.where(F.col("id").isNotNull()).select("id"))
    few = sum(each.count() for each in (duplicates, rejects)) <= BROADCAST_ROWS
    kept = whole.join(F.broadcast(removed) if few else removed, on="id", how="left_anti")
    report("counting")
    counted = _counts(staged, kept, duplicates, rejects)
    return Deduplicated(kept.select("row.*"), duplicates, rejects, texts, compared, counted, close)


def for_columns(config: Dedup, vector_column: str | None) -> Dedup:
    """The settings for texts, or for the vectors of a column. Raises ConfigError."""
    if vector_column is not None:
        return config.model_copy(update={"semantic": config.semantic.model_copy(update={"enabled": True})})
    if config.semantic.enabled:
        raise ConfigError(
            "dedup.semantic.enabled is set, but no column of vectors is named: --vectors COLUMN (vector_column) names one"
        )
    if config.lexical.method == "minhash":
        from personahub.dedup.kernels import minhash  # here, because numba takes its time to import and other commands do without

        try:
            minhash.choose_bands(config.lexical.threshold, config.lexical.num_perm, config.lexical.min_recall)
        except ValueError as error:
            raise ConfigError(f"dedup.lexical: {error}") from None
    return config


def comparable(staged: DataFrame, text_column: str, vector_column: str | None) -> DataFrame:
    """Staged rows -> id, level, and text or vector: what `dedup.by_words` or `dedup.by_vectors` takes."""
    if vector_column is None:
        return staged.select("id", F.lit(1).alias("level"), F.col("row").getField(text_column).alias("text"))
    return staged.select("id", F.lit(1).alias("level"), F.col("row").getField(vector_column).cast("array<float>").alias("vector"))


# -- results --------------------------------------------------------------------------------------------------------------------------


def check_sums(counts: Counts) -> None:
    """Raises PersonahubError unless every row is accounted for once."""
    duplicates, rejects = sum(counts.duplicates.values()), sum(counts.rejects.values())
    if counts.rows != counts.kept + duplicates + rejects:
        raise PersonahubError(
            f"{counts.rows:,} rows came in, yet {counts.kept:,} are kept, {duplicates:,} are duplicates and {rejects:,} rejects: "
            "this is a bug, please report it"
        )


def _rejects(staged: DataFrame, texts: DataFrame, refused: DataFrame) -> DataFrame:
    """id, reason, detail: of the rows that `deduplicate` refused, and of lines that are no rows."""
    why = F.lit(None).cast("string")
    for reason, sentence in _WHY.items():
        why = F.when(F.col("reason") == reason, F.lit(sentence)).otherwise(why)
    excerpt = F.when(F.length("text") > EXCERPT, F.concat(F.substring("text", 1, EXCERPT), F.lit(" ..."))).otherwise(
        F.col("text")
    )
    refused = refused.select("id", "reason")
    few = refused.count() <= BROADCAST_ROWS  # none, mostly
    named = texts.join(F.broadcast(refused) if few else refused, on="id", how="inner")
    rows = named.select("id", "reason", F.concat_ws(": ", why, excerpt).alias("detail"))
    lines = staged.where(F.col("unreadable").isNotNull()).select(
        "id", F.lit("bad_json").alias("reason"), F.substring("unreadable", 1, EXCERPT).alias("detail")
    )
    return rows.unionByName(lines)


def _counts(staged: DataFrame, kept: DataFrame, duplicates: DataFrame, rejects: DataFrame) -> Counts:
    """One query. Raises PersonahubError unless every row is accounted for once."""
    figures = [_figure("rows", staged), _figure("kept", kept)]
    figures += [_figure("duplicates", duplicates, "method"), _figure("rejects", rejects, "reason")]
    found = reduce(DataFrame.unionByName, figures).collect()

    def by_name(figure: str) -> dict[str, int]:
        rows = [row for row in found if row.figure == figure and row.rows]
        return {row.name: row.rows for row in sorted(rows, key=lambda row: (-row.rows, str(row.name)))}

    total = {figure: sum(by_name(figure).values()) for figure in ("rows", "kept")}
    counts = Counts(total["rows"], total["kept"], by_name("duplicates"), by_name("rejects"))
    check_sums(counts)
    return counts


def _figure(figure: str, rows: DataFrame, by: str | None = None) -> DataFrame:
    name = (F.lit(None) if by is None else F.col(by)).cast("string").alias("name")
    return rows.groupBy(name).agg(F.count("*").alias("rows")).select(F.lit(figure).alias("figure"), "name", "rows")
