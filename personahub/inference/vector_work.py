"""What the bridge does for vectors: staged texts -> requests packed full, outcomes -> rows of `embeddings`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
from pyspark.sql import types as T

from personahub import schemas
from personahub.config import Model
from personahub.llm import journal
from personahub.llm.embeddings import EmbeddingsClient, Packer, unpacked
from personahub.llm.types import EmbeddingCall, Outcome
from personahub.rows import arrow_schema


@dataclass(frozen=True)
class Vectors:
    """Requests of at most `texts` texts and `tokens` tokens. `encoding`: what the endpoint was found to honour."""

    encoding: str
    texts: int
    tokens: int
    unit: ClassVar[str] = "vectors"
    table: ClassVar[str] = "embeddings"
    key: ClassVar[str] = journal.KEY_OF_VECTOR
    schema: ClassVar[T.StructType] = schemas.EMBEDDINGS
    outcomes_at_once: ClassVar[int] = 4  # each of many vectors

    @property
    def client_key(self) -> str:
        return self.encoding

    def client(self, model: Model, key: str | None) -> EmbeddingsClient:
        return EmbeddingsClient(model, key, self.encoding)

    def calls(self, staged: Iterable[list[dict[str, Any]]]) -> Iterator[list[EmbeddingCall]]:
        packer = Packer(self.texts, self.tokens)
        for rows in staged:
            yield packer.add((row["text_id"], row["text"]) for row in rows)
        yield packer.rest()

    def rows(self, outcome: Outcome, stage: str, purpose: str, run_id: str, model: Model) -> list[journal.Row]:
        return journal.embedding_rows(outcome, stage, purpose, run_id, model)

    def batch(self, rows: list[journal.Row]) -> pa.RecordBatch:
        return embeddings_batch(rows)


def embeddings_batch(rows: list[journal.Row]) -> pa.RecordBatch:
    """Journal rows as Arrow, of the schema of `embeddings`."""
    vectors = [None if row["vector"] is None else unpacked(row["vector"]) for row in rows]
    schema = arrow_schema(schemas.EMBEDDINGS)
    columns = {name: [row.get(name) for row in rows] for name in schema.names} | {
        "vector": vectors,
        "dimensions": [None if vector is None else len(vector) for vector in vectors],
    }
    return pa.RecordBatch.from_pydict(columns, schema=schema)
