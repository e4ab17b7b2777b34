"""The two kinds of work that a purchase does: answers (chat_work.py) and vectors (vector_work.py), behind one protocol."""

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Protocol

import pyarrow as pa
from pyspark.sql import types as T

from personahub.config import Model
from personahub.llm.channels import Client
from personahub.llm.journal import Row
from personahub.llm.types import ChatCall, EmbeddingCall, Outcome


class Work(Protocol):
    """How staged rows become calls, and outcomes rows of a ledger. Plain values: it travels to the tasks."""

    unit: ClassVar[str]  # "answers" or "vectors", for messages
    table: ClassVar[str]  # the ledger
    key: ClassVar[str]  # the column by which a staged row and its rows of the ledger are matched
    schema: ClassVar[T.StructType]  # of the ledger
    outcomes_at_once: ClassVar[int]  # outcomes in an Arrow batch, at most
    calls_per_task: ClassVar[int]  # fewer are not worth another task: on Spark, the start of another worker process

    @property
    def rows_per_call(self) -> int: ...  # staged rows in one request, at most

    @property
    def client_key(self) -> str: ...  # by which a worker process finds a client again

    # a client for one event loop
    def client(self, model: Model, key: str | None) -> Client: ...

    # batches of staged rows -> the calls that are ready after each, and at the end the rest
    def calls(self, staged: Iterable[list[dict[str, Any]]]) -> Iterator[list[ChatCall] | list[EmbeddingCall]]: ...

    # an outcome -> its rows of the ledger, as the journal keeps them
    def rows(self, outcome: Outcome, stage: str, purpose: str, run_id: str, model: Model) -> list[Row]: ...

    # rows of the journal -> Arrow, of `schema`
    def batch(self, rows: list[Row]) -> pa.RecordBatch: ...
