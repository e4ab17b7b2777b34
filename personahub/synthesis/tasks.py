"""What can be synthesised from a persona: one small entry per task (paper, section 4)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from personahub.errors import ConfigError
from personahub.synthesis import math
from personahub.text import nearest

Verdict = tuple[str, str] | None  # (reason, detail), or None: fit

SAMPLES = 1000  # sample numbers set aside for each task


@dataclass(frozen=True)
class Task:
    """A kind of synthetic datum.

    number: its place among the sample numbers, from number * SAMPLES on. Requests are keyed by (stage, persona, sample number), so it is
    never changed nor given to another task; a new task takes the next free one, and no id of the others moves.
    prompt: the name of its prompt, whose schema its content satisfies. text_field: the field of the content that other stages read.
    judge: (content, variables) -> why it is refused.
    """

    name: str
    number: int
    prompt: str
    text_field: str
    judge: Callable[[Mapping[str, Any], Mapping[str, Any]], Verdict]

    @property
    def sample_index(self) -> int:
        return self.number * SAMPLES


TASKS: dict[str, Task] = {
    "math": Task(name="math", number=0, prompt="math", text_field="problem", judge=math.judge),
}


def choose(names: Iterable[str]) -> list[Task]:
    """The tasks of these names, each once. Raises ConfigError for an unknown one, naming the nearest."""
    for name in names:
        if name not in TASKS:
            raise ConfigError(f"synthesis.tasks names the unknown task {name!r}{nearest(name, TASKS)}")
    return [TASKS[name] for name in dict.fromkeys(names)]


def task_of(sample_index: int) -> Task:
    """The task that a request's sample number belongs to."""
    return next(task for task in TASKS.values() if task.number == sample_index // SAMPLES)
