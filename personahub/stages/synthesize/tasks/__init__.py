"""What can be synthesised from a persona (paper, section 4): one YAML file a task, in one shared frame (_frame.yaml).

A task's file holds these keys; all but the last five must be there:

    name        the file's name without .yaml
    version     a string; a change of the wording needs a new one, which buys every answer anew
    what        what is written, in the plural: "math problems"
    create      template of the request; it uses the parameters and nothing else
    answer      the form of the JSON that is asked for: {"problem": "..."}
    schema      its JSON Schema; every object closed and all its properties required
    text_field  the field of the answer that other stages read
    checks      what makes an answer a reject: names in checks.CHECKS, {name: value}, or "module:function" of one's own
    parameters  what the configuration may set, with defaults: {topic: null}
    choices     the values that some of these can have: {difficulty: [middle school, olympiad]}
    required    those that must be set
    example     template of one whole answer, as JSON, for a thatcher who lays roofs of reed; uses the parameters. The prompt shows it, and
                an answer that copies it is refused where `not_an_example` is among the checks
    files       those whose value is a path to a text file, with the delimiter that its text is shown between: {lore: lore}; a file that
                is not there is looked for beside the task's own

A parameter whose value is a list, or {file: FILE} with a value a line, is drawn for each persona by a hash of both: a value that is added
moves its share of the personas, and no other.

One's own tasks lie in a folder of such files, `synthesis.task_folder`; a task of the same name as ours takes its place.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import orjson

from personahub import ids, prompts
from personahub.config import Config
from personahub.errors import ConfigError
from personahub.llm import json_answers
from personahub.stages.synthesize.checks import Check, check_of
from personahub.stages.synthesize.tasks import entries
from personahub.stages.synthesize.tasks.entries import CONVERSATION

SAMPLES = 1000  # sample numbers set aside for each task
_NUMBERS = 2**31 // SAMPLES
FIRST_TURN = "instruction"  # the task that makes the first turn of a conversation


@dataclass(frozen=True, eq=False)
class Task:
    """A task with its settings.

    key: its name, and a hash of the settings where they are not the defaults; requests name their prompt by it. settings:
    parameters that are set, constraint and language, and not drawn. drawn: the values of those that are, by parameter. example: the
    template of the answer that every prompt shows, or "". prompts: by mode (paper, section 3).
    """

    key: str
    name: str
    text_field: str
    settings: dict[str, Any]
    drawn: dict[str, tuple[str, ...]]
    checks: tuple[Check, ...]
    schema: dict[str, Any]
    example: str
    prompts: dict[str, prompts.Prompt]

    def sample_index(self, mode: str) -> int:
        """Where the task's sample numbers begin, in one mode: requests are told apart by (stage, persona, sample number)."""
        return int(ids.content_id(f"{self.key} {mode}")[:8], 16) % _NUMBERS * SAMPLES

    def values_for(self, persona_id: str, seed: int) -> dict[str, str]:
        """Of each parameter that is drawn, the value for a persona."""

        def least(parameter: str, values: tuple[str, ...]) -> str:
            return min(values, key=lambda value: ids.seed("parameter", str(seed), persona_id, parameter, value))

        return {parameter: least(parameter, values) for parameter, values in self.drawn.items()}


def choose(config: Config) -> dict[str, Task]:
    """The tasks of synthesis.tasks by their keys, each once; for conversations the one of their first turns.

    Raises ConfigError: an unknown task or parameter (naming the nearest), a value that is none of the choices, a file that is not there,
    a task file that is not as it should be.
    """
    settings = config.synthesis
    shared = {name: value for name in entries.SHARED if (value := getattr(settings, name)) is not None}
    tasks: dict[str, Task] = {}
    named = [entry for entry in settings.tasks if entry != CONVERSATION]
    if len(named) < len(settings.tasks) and not any(_name(entry) == FIRST_TURN for entry in named):
        named.append(FIRST_TURN)
    for entry in named:
        given = {"name": entry} if isinstance(entry, str) else dict(entry)
        name = given.pop("name", None)
        if name == CONVERSATION:
            raise ConfigError("synthesis.tasks: conversation has no parameters here: they stand under synthesis.conversation")
        if not isinstance(name, str):
            raise ConfigError(f"synthesis.tasks: {entry!r} names no task: write {{name: math, topic: geometry}}")
        task = load(name, settings.task_folder, {**shared, **given})
        tasks[task.key] = task
    if len({task.sample_index(settings.mode) for task in tasks.values()}) < len(tasks):
        raise ConfigError(
            "two entries of synthesis.tasks fall on one number: run them one after the other, or rename a task of yours"
        )
    return tasks


def load(name: str, folder: str | None = None, settings: Mapping[str, Any] | None = None) -> Task:
    """A task with its settings; ConfigError as in `choose`."""
    (file, entry), frame = entries.read(name, folder), entries.frame()
    settings = {key: entries.values_of(name, key, value) for key, value in (settings or {}).items()}
    every = entries.settled(entry, settings)
    drawn = {key: value for key, value in every.items() if isinstance(value, tuple)}
    given = {key: value for key, value in every.items() if key not in drawn}
    constants = {
        "what": entry["what"],
        "answer": entry["answer"].strip(),
        **{key: given.get(key) for key in (*entry["parameters"], *entries.SHARED) if key not in drawn},
        **{key: entries.text_of(name, key, given[key], file) for key in entry["files"] if key in given},
    }
    own = {key: value for key, value in given.items() if entry["parameters"].get(key) != value} | dict.fromkeys(drawn, "drawn")
    key = f"{name}_{ids.content_id(ids.canonical_json(own))[:8]}" if own else name
    example = frame["example"].replace(entries.EXAMPLE, entry["example"]) if entry["example"] else ""
    user = entry["create"].rstrip() + "\n" + frame["user"].replace(entries.EXAMPLE, example)
    data = {"persona": "persona", **{key: tag for key, tag in entry["files"].items() if key in given}}

    def prompt(examples: Mapping[str, str], without: Mapping[str, Any]) -> prompts.Prompt:
        return prompts.compiled(
            key,
            {
                "name": key,
                "version": f"{frame['version']}.{entry['version']}",
                "system": frame["system"],
                "user": user,
                "variables": sorted({"persona", "examples", "example_personas", *constants, *drawn}),
                "data": {**data, **examples},
                "schema": entry["schema"],
            },
            {**constants, **without},
        )

    try:
        json_answers.check(entry["schema"])
        checks = tuple(check_of(check, entry["schema"]["properties"]) for check in entry["checks"])
        modes = {
            "zero_shot": prompt({}, {"examples": [], "example_personas": []}),
            "few_shot": prompt({"examples": "example"}, {"example_personas": []}),
            "persona_few_shot": prompt({"examples": "example", "example_personas": "persona"}, {}),
        }
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None
    task = Task(key, name, entry["text_field"], given, drawn, checks, entry["schema"], entry["example"], modes)
    for values in product(*(values if parameter in entry["choices"] else values[:1] for parameter, values in drawn.items())):
        try:
            shown_example(task, tuple(zip(drawn, values, strict=True)))
        except (ValueError, LookupError) as error:
            raise ConfigError(f"{file}: example is no answer by the schema: {error}") from None
    return task


@lru_cache(maxsize=1024)
def shown_example(task: Task, drawn: tuple[tuple[str, str], ...] = ()) -> str | None:
    """The text of the example that every prompt of the task shows, with these values of its drawn parameters; None where it has none.

    Raises ValueError if it is no answer by the schema.
    """
    if not task.example:
        return None
    rendered = prompts.rendered(task.example, {**task.prompts["zero_shot"].constants, **dict(drawn)})
    answer = orjson.loads(rendered)
    if why := json_answers.check(task.schema)(answer):
        raise ValueError(why)
    return str(answer[task.text_field])


def _name(entry: str | Mapping[str, Any]) -> Any:
    return entry if isinstance(entry, str) else entry.get("name")


def text_field(name: str, folder: str | None = None) -> str:
    """The field of a task's answer that other stages read. Raises ConfigError if there is no such task."""
    return str(entries.read(name, folder)[1]["text_field"])


def names(folder: str | None = None) -> Iterable[str]:
    """All tasks there are."""
    return sorted(entries.known(folder))
