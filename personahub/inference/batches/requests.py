"""Pending requests as lines of a batch's file, and how many of them one batch takes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from personahub.config import Model
from personahub.errors import ErrorKind
from personahub.llm.batches import line_of
from personahub.llm.chat import ChatClient
from personahub.llm.tracked_calls import TrackedCall
from personahub.llm.types import Attempt, ChatCall
from personahub.llm.usage import MIN_BYTES_PER_TOKEN


@dataclass(frozen=True, slots=True)
class Line:
    """One request. prompt_tokens and usd (None: no price): at most. bad_answers: how many it has had, of no use."""

    call: ChatCall
    content: bytes
    prompt_tokens: int
    usd: float | None
    bad_answers: int = 0


@dataclass(frozen=True, slots=True)
class Room:
    """What one batch may hold; None: no limit."""

    requests: int
    bytes: int
    tokens: int | None = None
    usd: float | None = None


def fill(lines: Sequence[Line], room: Room) -> int:
    """How many of `lines`, from the first on, there is room for."""
    size = tokens = 0
    usd = 0.0
    for count, line in enumerate(lines):
        size, tokens, usd = size + len(line.content), tokens + line.prompt_tokens, usd + (line.usd or 0.0)
        too_dear = room.usd is not None and usd > room.usd + 1e-12
        if count >= room.requests or size > room.bytes or (room.tokens is not None and tokens > room.tokens) or too_dear:
            return count
    return len(lines)


@dataclass(frozen=True, slots=True)
class Previous:
    """The last answer of a request that was of no use."""

    count: int
    kind: str | None
    text: str | None
    message: str | None
    finish_reason: str | None


def line(call: ChatCall, previous: Previous | None, client: ChatClient, model: Model) -> Line:
    """The request as it is sent online: of a second try after an invalid answer with that answer and what was wrong with it."""
    tracked = TrackedCall(call)
    if previous is not None and previous.kind == ErrorKind.INVALID.value and previous.finish_reason:
        # without a finish_reason it was no turn of the model: the endpoint itself withheld it
        tracked.correct(Attempt(ErrorKind.INVALID, text=previous.text, message=previous.message))
    content = line_of(call.completion_id, client.body(call, tracked.messages))
    tokens = math.ceil(len(content) / MIN_BYTES_PER_TOKEN)
    usd = model.in_batches().cost_usd(tokens, model.max_answer_tokens)
    return Line(call, content, tokens, usd, previous.count if previous else 0)


class Lines:
    """The lines of a batch after another, from rows that are fetched in portions.

    fetch(after, count): staged rows in the order of their ids, of those above `after`; render: rows -> lines.
    """

    def __init__(self, fetch: Callable[[str, int], list[Any]], render: Callable[[list[Any]], list[Line]]) -> None:
        self._fetch, self._render = fetch, render
        self._lines: list[Line] = []
        self._after, self._all = "", False

    def __bool__(self) -> bool:
        """Whether there are any left."""
        self._read(1)
        return bool(self._lines)

    def take(self, room: Room) -> list[Line]:
        """As many as there is room for."""
        self._read(room.requests)
        count = fill(self._lines, room)
        taken, self._lines = self._lines[:count], self._lines[count:]
        return taken

    def _read(self, count: int) -> None:
        missing = count - len(self._lines)
        if missing <= 0 or self._all:
            return
        rows = self._fetch(self._after, missing)
        self._all = len(rows) < missing
        if rows:
            self._after = rows[-1]["completion_id"]
            self._lines += self._render(rows)
