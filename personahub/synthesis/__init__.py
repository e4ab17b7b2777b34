"""Synthesis (paper, sections 3 and 4): examples of a task, each made with a kept persona. Pure: nothing is bought or written here.

One example per persona and task, zero-shot. What a task is stands in tasks.py.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from personahub import ids, prompts, schemas
from personahub.config import Config
from personahub.llm import answers
from personahub.rows import map_rows, storable
from personahub.synthesis.tasks import TASKS, Task, choose, task_of

__all__ = ["PARSED", "STAGE", "TASKS", "Item", "Task", "build", "parse", "parse_answer", "prompts_of", "split"]

STAGE = "synthesize"
MODE = "zero_shot"
RAW_CHARACTERS = 2000

_STRING = T.StringType()
PARSED = T.StructType(
    [
        T.StructField("example_id", _STRING),
        T.StructField("task", _STRING),
        T.StructField("mode", _STRING),
        T.StructField("source_id", _STRING),  # the persona
        T.StructField("completion_id", _STRING),
        T.StructField("model", _STRING),
        T.StructField("content", _STRING),  # canonical JSON by the task's schema
        T.StructField("reason", _STRING),  # null: an example; else a reject
        T.StructField("detail", _STRING),
        T.StructField("raw", _STRING),
        T.StructField("reject_id", _STRING),
    ]
)


@dataclass(frozen=True, slots=True)
class Item:
    """What one answer became: an example (reason is None) or a reject."""

    content: str | None = None
    reason: str | None = None
    detail: str | None = None
    raw: str | None = None


def prompts_of(config: Config) -> dict[str, prompts.Prompt]:
    """The prompts that this stage's requests name. Raises ConfigError for an unknown task."""
    return {task.prompt: prompts.load(task.prompt) for task in choose(config.synthesis.tasks)}


def build(personas: DataFrame, config: Config) -> DataFrame:
    """Personas (persona_id, persona) -> REQUESTS: one row per persona and task of synthesis.tasks; no persona is left out.

    Raises ConfigError for an unknown task, at once.
    """
    model = config.models[config.synthesis.model]
    asked = [(task, prompts.load(task.prompt)) for task in choose(config.synthesis.tasks)]

    def requests(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for task, prompt in asked:
            variables = {"persona": row["persona"]}
            yield {
                "stage": STAGE,
                "source_id": row["persona_id"],
                "sample_index": task.sample_index,
                "completion_id": prompt.completion_id(variables, model, task.sample_index),
                "prompt_name": prompt.name,
                "variables": ids.canonical_json(variables),
            }

    return map_rows(personas.select("persona_id", "persona"), requests, schemas.REQUESTS)


def parse(requests: DataFrame, completions: DataFrame, config: Config, run_id: str) -> DataFrame:
    """REQUESTS and COMPLETIONS, joined on completion_id (final rows only) -> PARSED: one row per request that has a final completion.

    Evaluate the result once: each evaluation parses again.
    """
    final = completions.where(F.col("final")).select("completion_id", "model", "text", "error_kind", "error_message")
    asked = requests.select("source_id", "sample_index", "completion_id", "variables")

    def item(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        task = task_of(row["sample_index"])
        made = parse_answer(task, row["text"], row["error_kind"], row["error_message"], orjson.loads(row["variables"]))
        yield _parsed(task, row, made)

    return map_rows(asked.join(final, on="completion_id", how="inner"), item, PARSED)


def parse_answer(
    task: Task, text: str | None, error_kind: str | None, error_message: str | None, variables: Mapping[str, Any]
) -> Item:
    """One final completion -> its example or reject. Never raises.

    Reasons of rejects: the completion's error_kind; invalid (no JSON, or not by the task's schema); those of the task's judge.
    """
    if error_kind is not None or text is None:
        return Item(reason=error_kind or "empty", detail=error_message, raw=text)
    try:
        value = answers.extract(text)
    except answers.NoJson as error:
        return Item(reason="invalid", detail=str(error), raw=text)
    problem = answers.check(prompts.load(task.prompt).schema or {})(value)
    if problem is not None:
        return Item(reason="invalid", detail=problem, raw=text)
    content = {key: part.strip() if isinstance(part, str) else part for key, part in value.items()}
    verdict = task.judge(content, variables)
    if verdict is not None:
        return Item(reason=verdict[0], detail=verdict[1], raw=text)
    return Item(content=storable(ids.canonical_json(content)))


def split(parsed: DataFrame, run_id: str) -> tuple[DataFrame, DataFrame]:
    """PARSED -> (examples, rejects), each by its table's schema."""
    marked = parsed.withColumn("run_id", F.lit(run_id)).withColumn("stage", F.lit(STAGE))
    examples = marked.where(F.col("reason").isNull()).withColumns({"persona_id": F.col("source_id"), "synthetic": F.lit(True)})
    rejects = marked.where(F.col("reason").isNotNull())
    return examples.select(*schemas.EXAMPLES.names), rejects.select(*schemas.REJECTS.names)


def _parsed(task: Task, row: Mapping[str, Any], item: Item) -> dict[str, Any]:
    source_id, completion_id = row["source_id"], row["completion_id"]
    made = {"task": task.name, "mode": MODE, "source_id": source_id, "completion_id": completion_id, "model": row["model"]}
    if item.reason is None:
        name = ids.content_id(ids.canonical_json([task.name, MODE, source_id, completion_id]))
        return {**made, "example_id": name, "content": item.content}
    return {
        **made,
        "reason": item.reason,
        "detail": storable(item.detail, 500),
        "raw": storable(item.raw, RAW_CHARACTERS),
        "reject_id": ids.reject_id(STAGE, source_id, completion_id, item.reason),
    }
