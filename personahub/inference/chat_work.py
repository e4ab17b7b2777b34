"""Answers, as `work.Work`: staged requests -> calls, outcomes -> rows of `completions`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import orjson
import pyarrow as pa
from pyspark.sql import types as T

from personahub import schemas
from personahub.config import Model
from personahub.llm import journal
from personahub.llm.chat import ChatClient
from personahub.llm.dialects import Dialect
from personahub.llm.types import ChatCall, Outcome
from personahub.prompts import Prompt
from personahub.rows import arrow_schema
from personahub.text import storable

_COMPLETIONS = arrow_schema(schemas.COMPLETIONS)


@dataclass(frozen=True)
class Chats:
    """`dialect`: how the endpoint was found to want to be asked."""

    dialect: Dialect
    prompts: dict[str, Prompt]
    unit: ClassVar[str] = "answers"
    table: ClassVar[str] = "completions"
    key: ClassVar[str] = journal.KEY
    schema: ClassVar[T.StructType] = schemas.COMPLETIONS
    outcomes_at_once: ClassVar[int] = 256
    calls_per_task: ClassVar[int] = 100
    rows_per_call: ClassVar[int] = 1

    @property
    def client_key(self) -> str:
        return repr(self.dialect)

    def client(self, model: Model, key: str | None) -> ChatClient:
        return ChatClient(model, key, self.dialect)

    def calls(self, staged: Iterable[list[dict[str, Any]]]) -> Iterator[list[ChatCall]]:
        for rows in staged:
            yield [self._call(row) for row in rows]

    def rows(self, outcome: Outcome, stage: str, purpose: str, run_id: str, model: Model) -> list[journal.Row]:
        return [ledger_row(outcome, stage, purpose, run_id, model)]

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


def ledger_row(outcome: Outcome, stage: str, purpose: str, run_id: str, model: Model) -> journal.Row:
    """The row of `completions`; `created_at` in microseconds since the epoch. `cost_usd` sums every billed attempt, wasted ones too."""
    call = cast(ChatCall, outcome.call)
    return {
        "completion_id": call.completion_id,
        "stage": stage,
        "purpose": purpose,
        "source_id": call.source_id,
        "sample_index": call.sample_index,
        "model": model.model,
        "base_url": model.base_url,
        "prompt_name": call.prompt_name,
        "prompt_version": call.prompt_version,
        "text": storable(outcome.text),
        "finish_reason": outcome.finish_reason,
        "final": outcome.final,
        "error_kind": None if outcome.kind is None else outcome.kind.value,
        "error_message": storable(outcome.message),
        "prompt_tokens": outcome.usage.prompt,
        "cached_tokens": outcome.usage.cached,
        "cache_write_tokens": outcome.usage.cache_write,
        "completion_tokens": outcome.usage.completion,
        "reasoning_tokens": outcome.usage.reasoning,
        "tokens_estimated": outcome.usage.estimated,
        "cost_usd": outcome.usage.cost_usd(model),
        "latency_s": outcome.latency_s,
        "attempts": outcome.attempts,
        "run_id": run_id,
        "created_at": int(outcome.created_at * 1e6),
    }


def completions_batch(rows: list[journal.Row]) -> pa.RecordBatch:
    """Journal rows as Arrow, cast to the schema of `completions`: a mismatch of int and long fails in Spark without naming the column."""
    return pa.RecordBatch.from_pylist(rows, schema=_COMPLETIONS)
