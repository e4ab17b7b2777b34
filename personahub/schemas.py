"""One StructType per table: the contract between stages (docs/architecture/tables.md). A transform ends in a select of one of these."""

from dataclasses import dataclass

from pyspark.sql import types as T

VERSION = 3  # of all tables together: it grows when a column or its meaning changes
UPGRADED = ("2",)  # earlier ones, whose tables lack columns and have none of another meaning: they get them
# the columns that people ask by, of which tables have statistics
QUERIED = tuple("stage purpose run_id created_at hop language source relation task mode model kind method reason".split())

RAW_CHARACTERS = 2000  # of rejects.raw, at most
_STRING, _LONG, _INT, _DOUBLE, _BOOL = T.StringType(), T.LongType(), T.IntegerType(), T.DoubleType(), T.BooleanType()


def _table(**columns: T.DataType) -> T.StructType:
    return T.StructType([T.StructField(name, kind) for name, kind in columns.items()])


DOCUMENTS = _table(
    document_id=_STRING,
    source=_STRING,  # the corpus format, for example redpajama_v2
    url=_STRING,
    language=_STRING,
    text=_STRING,
    quality=T.MapType(_STRING, _DOUBLE),
)

REQUESTS = _table(
    stage=_STRING,
    source_id=_STRING,
    sample_index=_INT,
    completion_id=_STRING,
    prompt_name=_STRING,
    variables=_STRING,  # canonical JSON: what the prompt is rendered from
)

COMPLETIONS = _table(
    completion_id=_STRING,
    stage=_STRING,
    purpose=_STRING,  # what the stage asked for: its own requests, a probe, moderation, a turn, ...
    source_id=_STRING,
    sample_index=_INT,
    model=_STRING,
    base_url=_STRING,
    prompt_name=_STRING,
    prompt_version=_STRING,
    text=_STRING,
    finish_reason=_STRING,
    final=_BOOL,
    error_kind=_STRING,
    error_message=_STRING,
    prompt_tokens=_LONG,
    cached_tokens=_LONG,  # of these, what the provider read from its cache, and what it wrote to it
    cache_write_tokens=_LONG,
    completion_tokens=_LONG,
    reasoning_tokens=_LONG,  # of these, what was thought
    tokens_estimated=_BOOL,  # the endpoint did not tell all of them: an upper estimate stands for the rest
    cost_usd=_DOUBLE,
    latency_s=_DOUBLE,
    attempts=_INT,
    run_id=_STRING,
    created_at=T.TimestampType(),
)

PERSONAS = _table(persona_id=_STRING, persona=_STRING, hop=_INT, language=_STRING)

LINEAGE = _table(child_id=_STRING, parent_id=_STRING, relation=_STRING, completion_id=_STRING)

EXAMPLES = _table(
    example_id=_STRING,
    task=_STRING,
    mode=_STRING,
    settings=_STRING,  # canonical JSON: the parameters of its task, constraint and language
    persona_id=_STRING,
    content=_STRING,  # JSON by the task's schema
    topic_similarity=_DOUBLE,  # cosine of the persona and the topic it was asked about; null: not measured
    completion_id=_STRING,
    model=_STRING,
    run_id=_STRING,
    synthetic=_BOOL,  # always true: whoever trains on it must be able to tell
)

# few-shot examples of the hub itself, frozen when they are first drawn
FEW_SHOT_POOL = _table(
    draw=_STRING,  # task, pool size and seed
    position=_INT,
    example_id=_STRING,
    persona_id=_STRING,
    persona=_STRING,
    text=_STRING,
)

REJECTS = _table(
    reject_id=_STRING,
    stage=_STRING,
    source_id=_STRING,
    completion_id=_STRING,
    reason=_STRING,
    detail=_STRING,
    raw=_STRING,  # at most RAW_CHARACTERS
    run_id=_STRING,
)

DUPLICATES = _table(
    id=_STRING, kind=_STRING, duplicate_of=_STRING, representative=_STRING, method=_STRING, score=_DOUBLE, round=_INT
)

# what a later batch is compared with: the personas that the lexical methods kept, many in a row, their figures one after the other
LEXICAL_INDEX = _table(
    scheme=_STRING,  # all that two keys must share to be comparable: tokens, method, threshold, ..., and whose vectors were compared
    persona_ids=T.ArrayType(_STRING),
    counts=T.BinaryType(),  # of each, how many keys: int32
    keys=T.BinaryType(),  # by which they meet others, 8 bytes each
    sizes=T.BinaryType(),  # of each, how many tokens: int32
    tokens=T.BinaryType(),  # the sorted 64-bit token hashes, 8 bytes each
)

# the ledger of vectors: one final row a text and model, with a vector or with the reason why there will be none
EMBEDDINGS = _table(
    text_id=_STRING,  # of a persona its persona_id
    stage=_STRING,
    purpose=_STRING,
    model=_STRING,  # all that changes a vector: its name and settings, or local:<name>@<revision>
    dimensions=_INT,
    vector=T.ArrayType(T.FloatType()),
    final=_BOOL,
    error_kind=_STRING,
    error_message=_STRING,
    prompt_tokens=_LONG,  # the text's part of what its requests were billed
    tokens_estimated=_BOOL,
    cost_usd=_DOUBLE,
    latency_s=_DOUBLE,
    attempts=_INT,
    base_url=_STRING,
    run_id=_STRING,
    created_at=T.TimestampType(),
)

# how an endpoint was found to want to be asked, so that it is found out once
ENDPOINT_CAPABILITIES = _table(
    base_url=_STRING,
    model=_STRING,  # of vectors with its settings
    capability=_STRING,  # see docs/architecture/tables.md 4
    value=_STRING,
    run_id=_STRING,
    created_at=T.TimestampType(),
)

# where vectors meet, so that a later batch need not train anew
VECTOR_CENTROIDS = _table(
    scheme=_STRING,  # all that two sets of clusters must share to be the same: model, clusters, seed, ...
    cluster=_INT,
    vector=T.ArrayType(T.FloatType()),
    trained_on=_LONG,  # vectors that were there when they were trained; of several sets the one with most holds
)

# the vectors of the personas that the vectors kept, by cluster: what a later batch is compared with. Made from `embeddings`, and made again
# when the clusters are trained anew
VECTOR_INDEX = _table(
    clusters=_STRING,  # names the centroids
    cluster=_INT,
    ids=T.ArrayType(_STRING),
    vectors=T.BinaryType(),  # one after the other, in the order of the ids; float32, each times a power of two
)

# what is measured of a hop of persona-to-persona while it is bought, a row a window
HOP_NOVELTY = _table(
    hop=_INT,
    run_id=_STRING,
    window=_INT,
    produced=_LONG,  # personas in its answers that pass the filters
    novel=_LONG,  # those of them that are new, and by their words no near-duplicate
    created_at=T.TimestampType(),
)

# what a hop was expected to cost before its first call
HOP_FORECASTS = _table(
    hop=_INT,
    run_id=_STRING,
    forecast_at_hop=_INT,  # the hop that was next when this was estimated
    calls=_LONG,
    least_calls=_LONG,
    most_calls=_LONG,
    tokens=_LONG,
    cost_usd=_DOUBLE,
    created_at=T.TimestampType(),
)

# what experts found of examples that they read (`personahub sample examples`)
REVIEWS = _table(
    example_id=_STRING,
    task=_STRING,
    expert=_STRING,
    verdict=_STRING,  # valid or invalid
    note=_STRING,
    run_id=_STRING,
    created_at=T.TimestampType(),
)

# what one solver answered to one problem
SOLUTIONS = _table(
    example_id=_STRING,
    solver=_STRING,  # its method and its model's name
    method=_STRING,  # direct or program
    model=_STRING,
    answer=_STRING,  # null: none, for `reason`, or because the conditions allow none
    conditions=_STRING,  # complete, missing or contradictory, as the solver says
    program=_STRING,
    status=_STRING,  # how its program ended, and the wall that it ran behind
    strength=_STRING,
    reason=_STRING,  # why there is neither an answer nor a fault of the conditions
    detail=_STRING,
    completion_id=_STRING,
    run_id=_STRING,
)

# what the solutions of one problem come to
VERDICTS = _table(
    example_id=_STRING,
    verification=_STRING,  # canonical JSON: solvers, min_agree and judge that it rests on
    verdict=_STRING,  # agreed, disputed, unsolved, contradictory or invalid
    answer=_STRING,  # that is agreed on
    votes=_INT,  # solvers asked
    agreed=_INT,  # of them, who agree
    layer=_STRING,  # the least sure rule that the agreement needed
    strength=_STRING,  # the weakest wall behind which programs of those who agree ran
    pattern=_STRING,  # who gave the same answer as whom, by position: 0,2|1
    evidence=_STRING,  # JSON: each vote, and each comparison with the rule that decided it
    split=_STRING,  # test or train
    run_id=_STRING,
)

# what was given to a Batch API: a row each time that the state of a batch changes; the one of the highest step holds
BATCHES = _table(
    batch_id=_STRING,  # ours, which the endpoint has as metadata
    step=_INT,
    state=_STRING,  # submitting, running, ended, collected, or not_made (inference/batches/states.py)
    stage=_STRING,
    purpose=_STRING,
    model=_STRING,
    base_url=_STRING,
    requests=_INT,
    prompt_tokens=_LONG,  # of all of them, and dollars: upper estimates
    reserved_usd=_DOUBLE,
    prompts=_STRING,  # JSON: name -> version and schema, which is what answers are read by
    provider_file_id=_STRING,  # of the requests
    provider_batch_id=_STRING,
    provider_status=_STRING,
    completed=_INT,  # as the endpoint counts them
    failed=_INT,
    error=_STRING,
    run_id=_STRING,
    created_at=T.TimestampType(),
)

BATCH_REQUESTS = _table(
    batch_id=_STRING,
    completion_id=_STRING,
    source_id=_STRING,
    sample_index=_INT,
    prompt_name=_STRING,
    sent_bytes=_INT,  # of its line, by which tokens are estimated that the endpoint does not tell
    bad_answers=_INT,  # that were of no use before this one
)

TOMBSTONES = _table(id=_STRING, kind=_STRING, reason=_STRING)

RUNS = _table(
    run_id=_STRING,
    stage=_STRING,
    config_fingerprint=_STRING,
    counts=T.MapType(_STRING, _LONG),
    prompt_tokens=_LONG,
    completion_tokens=_LONG,
    cost_usd=_DOUBLE,
    seconds=_DOUBLE,
    status=_STRING,  # done, or the name of the error that ended the stage
    created_at=T.TimestampType(),
    # mean share of max_concurrent_requests that was busy while the stage bought; null: nothing was
    utilisation=_DOUBLE,
    utilisation_by_model=T.MapType(_STRING, _DOUBLE),  # by "model at base_url"
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
