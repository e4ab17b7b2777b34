"""Synthesis (paper, sections 3 and 4): examples of a task, each made with a kept persona. Pure: nothing is bought or written here.

One example per persona and task. What a task is stands in tasks/, which examples a prompt shows in few_shot.py.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product
from typing import Any

import orjson
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub import ids, prompts, schemas
from personahub.config import Config
from personahub.llm import json_answers
from personahub.llm.json_answers import Reading
from personahub.rows import map_rows
from personahub.stages.requests import request_row
from personahub.stages.synthesize import few_shot, tasks
from personahub.stages.synthesize.checks import Answer
from personahub.stages.synthesize.results import NAME, PARSED, refused
from personahub.stages.synthesize.tasks import Task, choose
from personahub.text import storable


def check(config: Config) -> None:
    """Raises ConfigError or InputError for tasks or examples that can not be. Those of the hub itself are not known here."""
    chosen, settings = choose(config), config.synthesis
    if settings.mode != "zero_shot" and settings.few_shot.file is not None:
        _pools(config, examples_of(config), chosen)


def examples_of(config: Config, passed_over: list[str] | None = None) -> list[few_shot.Example]:
    """The examples of synthesis.few_shot.file that prompts draw from; none in the mode without. See `few_shot.read_pool`."""
    settings = config.synthesis.few_shot
    if config.synthesis.mode == "zero_shot" or settings.file is None:
        return []
    return few_shot.read_pool(settings.file, settings.pool_size, settings.seed, passed_over)


def text_field(task: str, config: Config) -> str:
    """The field of a task's content that other stages read. Raises ConfigError for a task that is not there any more."""
    return tasks.text_field(task, config.synthesis.task_folder)


def prompts_of(config: Config) -> dict[str, prompts.Prompt]:
    """The prompts that this stage's requests name. Raises ConfigError as `tasks.choose` does."""
    return {key: task.prompts[config.synthesis.mode] for key, task in choose(config).items()}


def build(
    personas: DataFrame, config: Config, keys: Collection[str] | None = None, pool: Sequence[few_shot.Example] | None = None
) -> DataFrame:
    """Personas (persona_id, persona) -> REQUESTS: samples_per_persona rows per persona and task of synthesis.tasks, or of these keys.

    With a column `vector` (null where there is none) each persona is shown the examples nearest to it. pool: what is drawn from, if not
    `examples_of`; each with a persona where the mode shows those. The variables hold the persona and the examples that are shown with it.
    Raises ConfigError as `tasks.choose` does, and where there are too few examples to draw from, at once.
    """
    settings, mode = config.synthesis, config.synthesis.mode
    chosen = {key: task for key, task in choose(config).items() if keys is None or key in keys}
    pools = _pools(config, examples_of(config) if pool is None else pool, chosen)
    columns = [name for name in ("persona_id", "persona", "vector") if name in personas.columns]
    completion_ids = {key: task.prompts[mode].completion_ids(config.models[settings.model]) for key, task in chosen.items()}
    numbers = {key: task.sample_index(mode) for key, task in chosen.items()}

    def requests(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for (key, task), sample in product(chosen.items(), range(settings.samples_per_persona)):
            variables = {"persona": row["persona"], **task.values_for(row["persona_id"], settings.seed)}
            if key in pools:
                drawn = few_shot.draw(pools[key], settings.few_shot.n, settings.few_shot.seed, row, f"{key}/{sample}")
                variables["examples"] = [one.text for one in drawn]
                if mode == "persona_few_shot":
                    variables["example_personas"] = [one.persona for one in drawn]
            yield request_row(NAME, row["persona_id"], numbers[key] + sample, key, completion_ids[key], variables)

    return map_rows(personas.select(*columns), requests, schemas.REQUESTS)


def parse(requests: DataFrame, completions: DataFrame, config: Config) -> DataFrame:
    """REQUESTS and COMPLETIONS, joined on completion_id (final rows only) -> PARSED: one row per request that has a final completion.

    Evaluate the result once: each evaluation parses again.
    """
    final = completions.where(F.col("final")).select("completion_id", "model", "text", "error_kind", "error_message")
    asked, chosen, mode = (
        requests.select("source_id", "prompt_name", "completion_id", "variables"),
        choose(config),
        config.synthesis.mode,
    )

    def item(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        task = chosen[row["prompt_name"]]
        variables = orjson.loads(row["variables"])
        made = parse_answer(task, mode, row["text"], row["error_kind"], row["error_message"], variables)
        yield _parsed(task, mode, row, variables, made)

    return map_rows(asked.join(final, on="completion_id", how="inner"), item, PARSED)


def parse_answer(
    task: Task, mode: str, text: str | None, error_kind: str | None, error_message: str | None, variables: Mapping[str, Any]
) -> Reading:
    """One final completion -> the content of its example, canonical JSON, or why it is a reject. Never raises.

    Reasons: those of `json_answers.read`, by the task's schema; those of the task's checks.
    """
    value, reason, detail = json_answers.read(text, error_kind, error_message, _why_not(task))
    if reason is not None:
        return Reading(None, reason, detail)
    content = {key: part.strip() if isinstance(part, str) else part for key, part in value.items()}
    drawn = tuple((parameter, variables[parameter]) for parameter in task.drawn)
    own = tasks.shown_example(task, drawn)
    shown, prompt = [*variables.get("examples", ()), *([own] if own else ())], task.prompts[mode]
    answer = Answer(
        content, content[task.text_field], variables["persona"], shown, settings_of(task, variables), prompt.constants,
        prompt.own_words(variables),
    )  # fmt: skip
    refusals = (verdict for check in task.checks if (verdict := check(answer)) is not None)
    return Reading(None, *verdict) if (verdict := next(refusals, None)) else Reading(storable(ids.canonical_json(content)))


@lru_cache(maxsize=64)
def _why_not(task: Task) -> Callable[[Any], str | None]:
    return json_answers.check(task.schema)


def _pools(config: Config, pool: Sequence[few_shot.Example], tasks: Mapping[str, Task]) -> dict[str, few_shot.ExamplePool]:
    """By the keys of tasks, what their requests draw from; nothing in the mode without examples."""
    settings = config.synthesis
    if settings.mode == "zero_shot":
        return {}
    return {key: few_shot.examples_for(pool, task.name, settings.few_shot.n) for key, task in tasks.items()}


def settings_of(task: Task, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of one request, those that were drawn included."""
    return {**task.settings, **{key: variables[key] for key in task.drawn}}


def _parsed(task: Task, mode: str, row: Mapping[str, Any], variables: Mapping[str, Any], read: Reading) -> dict[str, Any]:
    source_id, completion_id = row["source_id"], row["completion_id"]
    made = {
        "task": task.name,
        "mode": mode,
        "settings": ids.canonical_json(settings_of(task, variables)),
        "source_id": source_id,
        "completion_id": completion_id,
        "model": row["model"],
    }
    if read.reason is None:
        name = ids.content_id(ids.canonical_json([task.name, mode, source_id, completion_id]))
        return {**made, "example_id": name, "content": read.value}
    return {**made, **refused(source_id, completion_id, read.reason, read.detail, row["text"])}
