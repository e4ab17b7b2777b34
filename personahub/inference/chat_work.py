"""What the bridge does for answers: staged requests -> calls, outcomes -> rows of `completions`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import orjson
import pyarrow as pa
from pyspark.sql import types as T

from personahub import schemas
from personahub.config import Model
from personahub.llm import journal
from personahub.llm.chat import ChatClient
from personahub.llm.types import ChatCall, Outcome
from personahub.prompts import Prompt
from personahub.rows import arrow_schema

_COMPLETIONS = arrow_schema(schemas.COMPLETIONS)


@dataclass(frozen=True)
class Chats:
    """`response_format`: what the endpoint was found to honour."""

    response_format: Literal["json_schema", "json_object", "none"]
    prompts: dict[str, Prompt]
    unit: ClassVar[str] = "answers"
    table: ClassVar[str] = "completions"
    key: ClassVar[str] = journal.KEY
    schema: ClassVar[T.StructType] = schemas.COMPLETIONS
    outcomes_at_once: ClassVar[int] = 256

    @property
    def client_key(self) -> str:
        return self.response_format

    def client(self, model: Model, key: str | None) -> ChatClient:
        return ChatClient(model, key, self.response_format)

    def calls(self, staged: Iterable[list[dict[str, Any]]]) -> Iterator[list[ChatCall]]:
        for rows in staged:
            yield [self._call(row) for row in rows]

    def rows(self, outcome: Outcome, stage: str, purpose: str, run_id: str, model: Model) -> list[journal.Row]:
        return [journal.row_of(outcome, stage, purpose, run_id, model)]

    def batch(self, rows: list[journal.Row]) -> pa.RecordBatch:
        return completions_batch(rows)

    def _call(self, row: dict[str, Any]) -> ChatCall:
        prompt = self.prompts[row["prompt_name"]]
        return ChatCall(
            completion_id=row["completion_id"],
            source_id=row["source_id"],
            sample_index=row["sample_index"],
            prompt_name=prompt.name,
            prompt_version=prompt.version,
            messages=prompt.render(orjson.loads(row["variables"])),
            schema=prompt.schema,
            schema_name=prompt.schema_name,
        )


def completions_batch(rows: list[journal.Row]) -> pa.RecordBatch:
    """Journal rows as Arrow, cast to the schema of `completions`: a mismatch of int and long fails in Spark without naming the column."""
    return pa.RecordBatch.from_pylist(rows, schema=_COMPLETIONS)
