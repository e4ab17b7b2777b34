"""Examples that a prompt shows (paper, section 3): read from a file, drawn for each request by its persona."""

import heapq
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq

from personahub import ids
from personahub.errors import ConfigError, InputError


@dataclass(frozen=True, slots=True)
class Example:
    """task: whose example it is, or None for any. text: what is shown. persona: with whom it was written, where that is known."""

    text: str
    task: str | None = None
    persona: str | None = None


def read(path: str) -> Iterator[Example]:
    """The examples of a jsonl or parquet file: rows with `text`, or with a conversation whose first user turn is meant (WildChat's
    `conversation`, OpenAI's `messages`); `task` and `persona` where they are known. Raises InputError, which names the row.
    """
    if not Path(path).is_file():
        raise InputError(f"synthesis.few_shot.file: there is no file {path}: name a jsonl or parquet file")
    try:
        for number, row in enumerate(_rows(Path(path)), start=1):
            yield _example(path, number, row)
    except (ValueError, OSError) as error:
        raise InputError(f"synthesis.few_shot.file {path} can not be read: {error}") from None


def pool(path: str, most: int, seed: int) -> list[Example]:
    """`most` examples of a file of any size, or all: drawn by a hash of each one's text. Raises InputError as `read` does."""
    drawn = heapq.nsmallest(most, read(path), key=lambda one: ids.seed("pool", str(seed), one.text))
    if not drawn:
        raise InputError(f"synthesis.few_shot.file {path} holds no examples")
    return drawn


def fitting(examples: Sequence[Example], task: str, n: int) -> list[Example]:
    """Those that can be shown for a task. Raises ConfigError if they are fewer than `n`."""
    found = [one for one in examples if one.task in (None, task)]
    if len(found) < n:
        raise ConfigError(f"synthesis.few_shot: {n} examples of {task} are asked for, {len(found)} are there")
    return found


def draw(examples: Sequence[Example], n: int, seed: int, persona_id: str, sample: str) -> list[Example]:
    """`n` different ones, by the seed, the persona and the sample (of which task, which number) alone."""
    return random.Random(ids.seed("few_shot", str(seed), persona_id, sample)).sample(examples, n)


def _rows(path: Path) -> Iterator[Any]:
    if ".parquet" in path.suffixes:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(1_000):
                yield from batch.to_pylist()
        return
    with path.open("rb") as lines:
        for line in lines:
            if line.strip():
                yield orjson.loads(line)


def _example(path: str, number: int, row: Any) -> Example:
    where = f"synthesis.few_shot.file {path}, row {number}"
    if not isinstance(row, Mapping):
        raise InputError(f"{where}: an example is an object with `text`")
    text = row.get("text") or _first_turn(row.get("conversation") or row.get("messages"))
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{where}: there is no `text`, and no user turn in `conversation` or `messages`")
    return Example(text.strip(), row.get("task"), row.get("persona"))


def _first_turn(turns: Any) -> str | None:
    if not isinstance(turns, list):
        return None
    return next((turn.get("content") for turn in turns if isinstance(turn, Mapping) and turn.get("role") == "user"), None)
