"""Values for fields of simulated answers that must pass a task's checks, not only its schema: a race and class from the prompt's lore
(npc), a function with parameters, code and tests (tool), a text that is long enough (knowledge).

WRITTEN maps a field's name to a function of the `Writer` (answers.py), which offers the prompt's words and names.
"""

import re
from collections.abc import Callable
from random import Random
from typing import Protocol

import orjson

_PARAMETERS = {
    "type": "object",
    "properties": {
        "first": {"type": "number", "description": "A number"},
        "second": {"type": "number", "description": "Another one"},
    },
    "required": ["first", "second"],
}


class Writer(Protocol):
    rng: Random
    words: list[str]
    names: list[str]  # that stand in the longest text of the prompt
    codes: bool  # Python is asked for

    def sentence(self) -> str: ...


def function(writer: Writer) -> str:
    """A function's name in snake_case, the same each time for one prompt."""
    return "_".join(re.sub(r"[^a-z]", "", word.lower()) or "it" for word in ("count", *writer.words[:2]))


def _name(writer: Writer) -> str:
    return writer.rng.choice(writer.names)


def _background(writer: Writer) -> str:
    return " ".join(f"{writer.sentence()} {name} knows of it." for name in writer.names[:6])


def _code(writer: Writer) -> str:
    return f"def {function(writer)}(first, second):\n    return first + second" if writer.codes else ""


def _tests(writer: Writer) -> str:
    return f"assert {function(writer)}(1, 2) == 3" if writer.codes else ""


WRITTEN: dict[str, Callable[[Writer], str]] = {
    "race": _name,
    "class": _name,
    "background": _background,
    "text": lambda writer: " ".join(writer.sentence() for _ in range(24)),
    "parameters": lambda writer: orjson.dumps(_PARAMETERS).decode(),
    "code": _code,
    "tests": _tests,
}
