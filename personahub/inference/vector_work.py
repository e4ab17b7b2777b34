"""Vectors, as `work.Work`: staged texts -> requests packed full, outcomes -> rows of `embeddings`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, ClassVar, cast

import pyarrow as pa
from pyspark.sql import types as T

from personahub import schemas
from personahub.config import Model
from personahub.llm import journal
from personahub.llm.embeddings import EmbeddingsClient, Packer, key_of, unpacked
from personahub.llm.types import EmbeddingCall, Outcome
from personahub.rows import arrow_schema
from personahub.text import storable


@dataclass(frozen=True)
class Vectors:
    """Requests of at most `rows_per_call` texts and `tokens` tokens. `encoding`: what the endpoint was found to honour."""

    encoding: str
    rows_per_call: int
    tokens: int
    unit: ClassVar[str] = "vectors"
    table: ClassVar[str] = "embeddings"
    key: ClassVar[str] = journal.KEY_OF_VECTOR
    schema: ClassVar[T.StructType] = schemas.EMBEDDINGS
    outcomes_at_once: ClassVar[int] = 4  # each of many vectors
    calls_per_task: ClassVar[int] = 4

    @property
    def client_key(self) -> str:
        return self.encoding

    def client(self, model: Model, key: str | None) -> EmbeddingsClient:
        return EmbeddingsClient(model, key, self.encoding)

    def calls(self, staged: Iterable[list[dict[str, Any]]]) -> Iterator[list[EmbeddingCall]]:
        packer = Packer(self.rows_per_call, self.tokens)
        for rows in staged:
            yield packer.add((row["text_id"], row["text"]) for row in rows)
        yield packer.rest()

    def rows(self, outcome: Outcome, stage: str, purpose: str, run_id: str, model: Model) -> list[journal.Row]:
        return ledger_rows(outcome, stage, purpose, run_id, model)

    def batch(self, rows: list[journal.Row]) -> pa.RecordBatch:
        return embeddings_batch(rows)


def ledger_rows(outcome: Outcome, stage: str, purpose: str, run_id: str, model: Model) -> list[journal.Row]:
    """The rows of `embeddings`, one a text; `vector` as it travels. Each has its part of the tokens: they add up to what was billed."""
    call = cast(EmbeddingCall, outcome.call)
    ids, texts = call.ids, call.texts
    tokens = shares(outcome.usage.prompt, [len(text) for text in texts])
    same = {
        "stage": stage,
        "purpose": purpose,
        "model": key_of(model),
        "final": outcome.final,
        "error_kind": None if outcome.kind is None else outcome.kind.value,
        "error_message": storable(outcome.message),
        "tokens_estimated": outcome.usage.estimated,
        "latency_s": outcome.latency_s,
        "attempts": outcome.attempts,
        "base_url": model.base_url,
        "run_id": run_id,
        "created_at": int(outcome.created_at * 1e6),
    }
    vectors = outcome.vectors or (None,) * len(ids)
    return [
        {"text_id": name, "vector": vector, "prompt_tokens": part, "cost_usd": model.cost_usd(part, 0), **same}
        for name, vector, part in zip(ids, vectors, tokens, strict=True)
    ]


def shares(total: int, weights: Sequence[int]) -> list[int]:
    """`total` in whole parts, about in proportion to the weights (at least 1 each), that add up to it."""
    weights = [max(1, weight) for weight in weights]
    ends = [round(total * end / sum(weights)) for end in accumulate(weights)]
    return [end - start for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def embeddings_batch(rows: list[journal.Row]) -> pa.RecordBatch:
    """Journal rows as Arrow, of the schema of `embeddings`."""
    vectors = [None if row["vector"] is None else unpacked(row["vector"]) for row in rows]
    schema = arrow_schema(schemas.EMBEDDINGS)
    columns = {name: [row.get(name) for row in rows] for name in schema.names} | {
        "vector": vectors,
        "dimensions": [None if vector is None else len(vector) for vector in vectors],
    }
    return pa.RecordBatch.from_pydict(columns, schema=schema)
