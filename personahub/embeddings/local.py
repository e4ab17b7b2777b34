"""Vectors from a sentence-transformers model on the executors: rows of `embeddings` that cost nothing but time."""

import os
import time
from collections.abc import Iterator
from functools import lru_cache, partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame

from personahub import schemas
from personahub.config import SemanticDedup
from personahub.errors import ConfigError
from personahub.rows import arrow_schema

TEXTS_AT_ONCE = 32  # in one pass through the model, which sorts a batch by length first


def key_of(settings: SemanticDedup) -> str:
    """What makes two vectors comparable: `local:<name>@<revision>`. Raises ConfigError for a folder that is not there.

    The revision of a folder is a hash of what is in it, so that it may move; that of a name is `local_revision`, or main.
    """
    name = settings.local_model or ""
    if os.path.isdir(name):
        if settings.local_revision is not None:
            raise ConfigError("dedup.semantic.local_revision is for models by name: a folder's own files say what it holds")
        return f"local:{Path(name).resolve().name}@{_digest(name)}"
    if name.startswith((".", "/", "~")):
        raise ConfigError(f"dedup.semantic.local_model: there is no folder {name} here")
    return f"local:{name}@{settings.local_revision or 'main'}"


@lru_cache(maxsize=4)
def _digest(folder: str) -> str:
    whole = blake2b(digest_size=6)
    for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
        whole.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                whole.update(block)
    return whole.hexdigest()


def compute(rows: DataFrame, settings: SemanticDedup, stage: str, purpose: str, run_id: str) -> DataFrame:
    """Rows with text_id, text -> rows of `embeddings`. Texts longer than the model reads are cut by it."""
    same = {"stage": stage, "purpose": purpose, "model": key_of(settings), "run_id": run_id}
    work = partial(_compute, settings.local_model or "", settings.local_revision, same)
    return rows.mapInArrow(work, schemas.EMBEDDINGS)


def _compute(
    name: str, revision: str | None, given: dict[str, str], batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    schema = arrow_schema(schemas.EMBEDDINGS)
    for batch in batches:
        if not batch.num_rows:
            continue
        model, began, n = _model(name, revision), time.perf_counter(), batch.num_rows
        vectors = model.encode(
            batch["text"].to_pylist(), batch_size=TEXTS_AT_ONCE, convert_to_numpy=True, show_progress_bar=False
        )
        same = {
            **given,
            "dimensions": vectors.shape[1],
            "final": True,
            "prompt_tokens": 0,
            "tokens_estimated": False,
            "cost_usd": 0.0,
            "latency_s": (time.perf_counter() - began) / n,
            "attempts": 1,
            "base_url": "local",
            "created_at": int(time.time() * 1e6),
        }
        columns: dict[str, Any] = {field: [same.get(field)] * n for field in schema.names}
        columns |= {"text_id": batch["text_id"], "vector": list(vectors.astype("float32"))}
        yield pa.RecordBatch.from_pydict(columns, schema=schema)


@lru_cache(maxsize=1)
def _model(name: str, revision: str | None) -> Any:
    """One per worker process, which Spark uses for many tasks. Each has a slot, and no more than that, to itself."""
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    return SentenceTransformer(name, revision=revision)
