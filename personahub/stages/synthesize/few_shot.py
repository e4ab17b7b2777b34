"""Examples that a prompt shows (paper, section 3): read from a file, drawn for each request by its persona."""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from personahub import ids
from personahub.documents.files import DAMAGE, Place, kind_of, lines
from personahub.documents.generic import records
from personahub.documents.json_lines import parse
from personahub.errors import ConfigError, InputError


@dataclass(frozen=True, slots=True)
class Example:
    """An example that a prompt can show.

    text: what is shown. task: the name of the task that it may be shown for; None: any. persona: the persona that it was written with, None
    where that is unknown. vector: the embedding of `about`, where few_shot.selection is knn.
    """

    text: str
    task: str | None = None
    persona: str | None = None
    vector: Sequence[float] | None = field(default=None, compare=False)

    @property
    def about(self) -> str:
        """The text whose vector is compared with a persona's."""
        return self.persona or self.text

    @property
    def about_id(self) -> str:
        """The id of that text in the ledger of vectors: of a persona it is the hub's, so that no vector is bought twice."""
        return ids.persona_id(self.persona) if self.persona else ids.content_id(self.text)


class ExamplePool:
    """Examples to draw from, as arrays with an entry each.

    hashes: uint64, of the text. personas: str, "" where unknown. vectors: float64, one row an example, of length 1; zeros for none.
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = examples
        self.hashes = np.array([ids.seed("example", one.text) for one in examples], np.uint64)
        self.personas = np.array([one.persona or "" for one in examples], object)
        self.vectors = _unit([one.vector for one in examples])


def read(path: str, passed_over: list[str]) -> Iterator[Example]:
    """The examples of a jsonl or parquet file: rows with `text`, or with a conversation whose first user turn is meant (WildChat's
    `conversation`, OpenAI's `messages`); `task` and `persona` where they are known.

    passed_over: gets a line for each row that holds no example. Raises InputError for a file that is not there or damaged.
    """
    if not Path(path).is_file():
        raise InputError(f"synthesis.few_shot.file: there is no file {path}: name a jsonl or parquet file")
    try:
        for number, row in enumerate(_rows(path), start=1):
            try:
                yield _example(parse(row) if isinstance(row, bytes) else row)
            except ValueError as error:
                passed_over.append(f"row {number}: {error}")
    except DAMAGE as error:
        raise InputError(f"synthesis.few_shot.file {path} can not be read: {error}") from None


def read_pool(path: str, size: int, seed: int, passed_over: list[str] | None = None) -> list[Example]:
    """`size` different examples of a file of any size, or all: drawn by a hash of each one's text. passed_over, and what it raises: see
    `read`; InputError, too, where no row holds an example.
    """
    passed_over = [] if passed_over is None else passed_over
    first: dict[tuple[int, str, str | None], Example] = {}
    for one in read(path, passed_over):
        first.setdefault((ids.seed("pool", str(seed), one.text), one.text, one.task), one)
        if len(first) > 2 * size:
            first = {key: first[key] for key in heapq.nsmallest(size, first, key=_order)}
    if not first:
        raise InputError(f"synthesis.few_shot.file {path} holds no examples{f': {passed_over[0]}' if passed_over else ''}")
    return [first[key] for key in heapq.nsmallest(size, first, key=_order)]


def examples_for(examples: Sequence[Example], task: str, n: int) -> ExamplePool:
    """Those that can be shown for a task. Raises ConfigError if they are fewer than `n`."""
    found = [one for one in examples if one.task in (None, task)]
    if len(found) < n:
        raise ConfigError(
            f"synthesis.few_shot: {n} examples of {task} are asked for, {len(found)} are there: set synthesis.few_shot.file to a jsonl or "
            "parquet file of more, or make some in the mode zero_shot first"
        )
    return ExamplePool(found)


def draw(pool: ExamplePool, n: int, seed: int, row: Mapping[str, Any], sample: str) -> list[Example]:
    """`n` different examples for the request of one persona.

    row: persona_id, persona and, where the nearest examples are wanted, vector. sample: task and number of the request.

    Without a vector the examples are ordered by a hash of seed, persona, sample and example: an example that is added or removed changes
    only the requests that show it. With one they are ordered by cosine, then by that hash. Examples of the same persona come last.
    """
    drawn = _mixed(pool.hashes ^ np.uint64(ids.seed("few_shot", str(seed), row["persona_id"], sample)))
    own, vector = pool.personas == row["persona"], row.get("vector")
    order = (drawn, own) if vector is None else (drawn, -np.round(pool.vectors @ _unit([vector])[0], 6), own)
    return [pool.examples[at] for at in np.lexsort(order)[:n]]


def _order(key: tuple[int, str, str | None]) -> tuple[int, str, str]:
    return key[0], key[1], key[2] or ""


def _mixed(values: np.ndarray) -> np.ndarray:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, 2014): equal steps of the input become independent numbers."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _unit(vectors: Sequence[Sequence[float] | None]) -> np.ndarray:
    """Rows of length 1; zero where there is no vector."""
    width = max((len(one) for one in vectors if one is not None), default=1)
    rows = np.array([np.zeros(width) if one is None else one for one in vectors], np.float64).reshape(-1, width)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _rows(path: str) -> Iterator[Any]:
    """Rows of a parquet file, lines of any other."""
    if kind_of(path) == "parquet":
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(1_000):
                yield from (row for row, _ in records(batch))
        return
    yield from (line for line in lines(Place(path, "synthesis.few_shot.file"), path) if line.strip())


def _example(row: Any) -> Example:
    if not isinstance(row, Mapping):
        raise ValueError("an example is an object with `text`")
    text = row.get("text") or _first_turn(row.get("conversation") or row.get("messages"))
    if not isinstance(text, str) or not text.strip():
        raise ValueError("there is no `text`, and no user turn in `conversation` or `messages`")
    return Example(text.strip(), row.get("task"), row.get("persona"))


def _first_turn(turns: Any) -> str | None:
    if not isinstance(turns, list):
        return None
    return next((turn.get("content") for turn in turns if isinstance(turn, Mapping) and turn.get("role") == "user"), None)
