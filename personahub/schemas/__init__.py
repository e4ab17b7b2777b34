"""One StructType per table: the contract between stages (docs/architecture/tables.md). A transform ends in a select of one of these."""

from dataclasses import dataclass

from pyspark.sql import types as T

from personahub.schemas.columns import BOOL, DOUBLE, INT, LONG, STRING, table
from personahub.schemas.indexes import LEXICAL_INDEX, VECTOR_CENTROIDS, VECTOR_INDEX
from personahub.schemas.ledgers import BATCH_REQUESTS, BATCHES, COMPLETIONS, EMBEDDINGS, ENDPOINT_CAPABILITIES

VERSION = 3  # of all tables together: it grows when a column or its meaning changes
UPGRADED = ("2",)  # earlier ones, whose tables lack columns and have none of another meaning: they get them
# the columns that people ask by, of which tables have statistics
QUERIED = tuple("stage purpose run_id created_at hop language source relation task mode model kind method reason".split())

RAW_CHARACTERS = 2000  # of rejects.raw, at most


DOCUMENTS = table(
    document_id=STRING,
    source=STRING,  # the corpus format, for example redpajama_v2
    url=STRING,
    language=STRING,
    text=STRING,
    quality=T.MapType(STRING, DOUBLE),
)

REQUESTS = table(
    stage=STRING,
    source_id=STRING,
    sample_index=INT,
    completion_id=STRING,
    prompt_name=STRING,
    variables=STRING,  # canonical JSON: what the prompt is rendered from
)

PERSONAS = table(persona_id=STRING, persona=STRING, hop=INT, language=STRING)

LINEAGE = table(child_id=STRING, parent_id=STRING, relation=STRING, completion_id=STRING)

EXAMPLES = table(
    example_id=STRING,
    task=STRING,
    mode=STRING,
    settings=STRING,  # canonical JSON: the parameters of its task, constraint and language
    persona_id=STRING,
    content=STRING,  # JSON by the task's schema
    topic_similarity=DOUBLE,  # cosine of the persona and the topic it was asked about; null: not measured
    completion_id=STRING,
    model=STRING,
    run_id=STRING,
    synthetic=BOOL,  # always true: whoever trains on it must be able to tell
)

# few-shot examples of the hub itself, frozen when they are first drawn
FEW_SHOT_POOL = table(
    draw=STRING,  # task, pool size and seed
    position=INT,
    example_id=STRING,
    persona_id=STRING,
    persona=STRING,
    text=STRING,
)

REJECTS = table(
    reject_id=STRING,
    stage=STRING,
    source_id=STRING,
    completion_id=STRING,
    reason=STRING,
    detail=STRING,
    raw=STRING,  # at most RAW_CHARACTERS
    run_id=STRING,
)

DUPLICATES = table(id=STRING, kind=STRING, duplicate_of=STRING, representative=STRING, method=STRING, score=DOUBLE, round=INT)

# what is measured of a hop of persona-to-persona while it is bought, a row a window
HOP_NOVELTY = table(
    hop=INT,
    run_id=STRING,
    window=INT,
    produced=LONG,  # personas in its answers that pass the filters
    novel=LONG,  # those of them that are new, and by their words no near-duplicate
    created_at=T.TimestampType(),
)

# what a hop was expected to cost before its first call
HOP_FORECASTS = table(
    hop=INT,
    run_id=STRING,
    forecast_at_hop=INT,  # the hop that was next when this was estimated
    calls=LONG,
    least_calls=LONG,
    most_calls=LONG,
    tokens=LONG,
    cost_usd=DOUBLE,
    created_at=T.TimestampType(),
)

# what experts found of examples that they read (`personahub sample examples`)
REVIEWS = table(
    example_id=STRING,
    task=STRING,
    expert=STRING,
    verdict=STRING,  # valid or invalid
    note=STRING,
    run_id=STRING,
    created_at=T.TimestampType(),
)

# what one solver answered to one problem
SOLUTIONS = table(
    example_id=STRING,
    solver=STRING,  # its method and its model's name
    method=STRING,  # direct or program
    model=STRING,
    answer=STRING,  # null: none, for `reason`, or because the conditions allow none
    conditions=STRING,  # complete, missing or contradictory, as the solver says
    program=STRING,
    status=STRING,  # how its program ended, and the wall that it ran behind
    strength=STRING,
    reason=STRING,  # why there is neither an answer nor a fault of the conditions
    detail=STRING,
    completion_id=STRING,
    run_id=STRING,
)

# what the solutions of one problem come to
VERDICTS = table(
    example_id=STRING,
    verification=STRING,  # canonical JSON: solvers, min_agree and judge that it rests on
    verdict=STRING,  # agreed, disputed, unsolved, contradictory or invalid
    answer=STRING,  # that is agreed on
    votes=INT,  # solvers asked
    agreed=INT,  # of them, who agree
    layer=STRING,  # the least sure rule that the agreement needed
    strength=STRING,  # the weakest wall behind which programs of those who agree ran
    pattern=STRING,  # who gave the same answer as whom, by position: 0,2|1
    evidence=STRING,  # JSON: each vote, and each comparison with the rule that decided it
    split=STRING,  # test or train
    run_id=STRING,
)

TOMBSTONES = table(id=STRING, kind=STRING, reason=STRING)

RUNS = table(
    run_id=STRING,
    stage=STRING,
    config_fingerprint=STRING,
    counts=T.MapType(STRING, LONG),
    prompt_tokens=LONG,
    completion_tokens=LONG,
    cost_usd=DOUBLE,
    seconds=DOUBLE,
    status=STRING,  # done, or the name of the error that ended the stage
    created_at=T.TimestampType(),
    # mean share of max_concurrent_requests that was busy while the stage bought; null: nothing was
    utilisation=DOUBLE,
    utilisation_by_model=T.MapType(STRING, DOUBLE),  # by "model at base_url"
)


@dataclass(frozen=True)
class Table:
    """A table that only one stage knows: its columns, and the columns by which a row is known (none: rows are appended)."""

    schema: T.StructType
    key: tuple[str, ...] = ()


TABLES: dict[str, T.StructType] = {
    "documents": DOCUMENTS,
    "requests": REQUESTS,
    "completions": COMPLETIONS,
    "personas": PERSONAS,
    "lineage": LINEAGE,
    "duplicates": DUPLICATES,
    "lexical_index": LEXICAL_INDEX,
    "embeddings": EMBEDDINGS,
    "endpoint_capabilities": ENDPOINT_CAPABILITIES,
    "vector_centroids": VECTOR_CENTROIDS,
    "vector_index": VECTOR_INDEX,
    "hop_novelty": HOP_NOVELTY,
    "hop_forecasts": HOP_FORECASTS,
    "examples": EXAMPLES,
    "few_shot_pool": FEW_SHOT_POOL,
    "rejects": REJECTS,
    "reviews": REVIEWS,
    "solutions": SOLUTIONS,
    "verdicts": VERDICTS,
    "batches": BATCHES,
    "batch_requests": BATCH_REQUESTS,
    "tombstones": TOMBSTONES,
    "runs": RUNS,
}
KEYS: dict[str, tuple[str, ...]] = {
    "documents": ("document_id",),
    "requests": ("stage", "source_id", "sample_index"),
    "personas": ("persona_id",),
    "lineage": ("child_id", "parent_id", "relation", "completion_id"),
    "duplicates": ("id", "kind"),
    "examples": ("example_id",),
    "few_shot_pool": ("draw", "position"),
    "solutions": ("example_id", "completion_id"),
    "verdicts": ("example_id", "verification"),
    "rejects": ("reject_id",),
    "tombstones": ("id", "kind"),
}
PARTITIONS: dict[str, tuple[str, ...]] = {"completions": ("stage",)}
