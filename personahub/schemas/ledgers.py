"""What was bought, and how: answers, vectors, batches that are under way, and what endpoints were found to be like."""

from pyspark.sql import types as T

from personahub.schemas.columns import BOOL, DOUBLE, INT, LONG, STRING, table

COMPLETIONS = table(
    completion_id=STRING,
    stage=STRING,
    purpose=STRING,  # what within the stage: its own requests, moderation, a turn, ...; of a probe the stage that needs it
    source_id=STRING,
    sample_index=INT,
    model=STRING,
    base_url=STRING,
    prompt_name=STRING,
    prompt_version=STRING,
    text=STRING,
    finish_reason=STRING,
    final=BOOL,
    error_kind=STRING,
    error_message=STRING,
    prompt_tokens=LONG,
    cached_tokens=LONG,  # of these, what the provider read from its cache, and what it wrote to it
    cache_write_tokens=LONG,
    completion_tokens=LONG,
    reasoning_tokens=LONG,  # of these, what was thought
    tokens_estimated=BOOL,  # the endpoint did not tell all of them: an upper estimate stands for the rest
    cost_usd=DOUBLE,
    latency_s=DOUBLE,
    attempts=INT,
    run_id=STRING,
    created_at=T.TimestampType(),
)

# the ledger of vectors: one final row a text and model, with a vector or with the reason why there will be none
EMBEDDINGS = table(
    text_id=STRING,  # of a persona its persona_id
    stage=STRING,
    purpose=STRING,
    model=STRING,  # all that changes a vector: its name and settings, or local:<name>@<revision>
    dimensions=INT,
    vector=T.ArrayType(T.FloatType()),
    final=BOOL,
    error_kind=STRING,
    error_message=STRING,
    prompt_tokens=LONG,  # the text's part of what its requests were billed
    tokens_estimated=BOOL,
    cost_usd=DOUBLE,
    latency_s=DOUBLE,
    attempts=INT,
    base_url=STRING,
    run_id=STRING,
    created_at=T.TimestampType(),
)

# what was given to a Batch API: a row each time that the state of a batch changes; the one of the highest step holds
BATCHES = table(
    batch_id=STRING,  # ours, which the endpoint has as metadata
    step=INT,
    state=STRING,  # submitting, running, ended, collected, or not_made (inference/batches/states.py)
    stage=STRING,
    purpose=STRING,
    model=STRING,
    base_url=STRING,
    requests=INT,
    prompt_tokens=LONG,  # of all of them, and dollars: upper estimates
    reserved_usd=DOUBLE,
    prompts=STRING,  # JSON: name -> version and schema, which is what answers are read by
    provider_file_id=STRING,  # of the requests
    provider_batch_id=STRING,
    provider_status=STRING,
    completed=INT,  # as the endpoint counts them
    failed=INT,
    error=STRING,
    run_id=STRING,
    created_at=T.TimestampType(),
)

BATCH_REQUESTS = table(
    batch_id=STRING,
    completion_id=STRING,
    source_id=STRING,
    sample_index=INT,
    prompt_name=STRING,
    sent_bytes=INT,  # of its line, by which tokens are estimated that the endpoint does not tell
    bad_answers=INT,  # that were of no use before this one
)

# how an endpoint was found to want to be asked, so that it is found out once
ENDPOINT_CAPABILITIES = table(
    base_url=STRING,
    model=STRING,  # of vectors with its settings
    capability=STRING,  # see docs/architecture/tables.md 4
    value=STRING,
    run_id=STRING,
    created_at=T.TimestampType(),
)
