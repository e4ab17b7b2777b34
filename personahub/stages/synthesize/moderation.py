"""Is an answer unsafe? A moderation model (synthesis.moderation_model) reads each answer that is accepted otherwise."""

from collections.abc import Iterator, Mapping
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from personahub import ids, prompts, schemas
from personahub.config import Config
from personahub.errors import TransientFailures
from personahub.inference import RequestBatch, estimate_at_most
from personahub.llm import json_answers
from personahub.rows import map_rows
from personahub.stages.stage import Rounds
from personahub.stages.synthesize.results import NAME, PARSED, number_of, refused
from personahub.storage.hub import Estimate, Hub

PROMPT = PURPOSE = "moderation"
SCRATCH = ("synthesize.parsed", "synthesize.moderated")
_STRING = T.StringType()
MODERATION_REQUESTS = T.StructType([*PARSED, *(T.StructField(name, _STRING) for name in ("judged_by", "variables"))])


def moderated(hub: Hub, parsed: DataFrame) -> Rounds:
    """PARSED -> PARSED, where what the model finds unsafe is a reject; as it came where no model is configured.

    Raises TransientFailures where some calls failed transiently: those answers are neither accepted nor refused, and no other is asked for
    in their place.
    """
    name = hub.config.synthesis.moderation_model
    if name is None:
        return parsed
    parsed = hub.store.materialise(parsed, SCRATCH[0])
    asked = hub.store.materialise(ask(parsed, hub.config), SCRATCH[1])
    if asked.isEmpty():
        return parsed
    result = yield RequestBatch(NAME, PURPOSE, requests(asked), hub.config.models[name], prompts.by_name(PROMPT), parse=False)
    if result.failed:
        raise TransientFailures(f"{NAME}: {result.failed:,} calls of moderation failed transiently: run again to ask for those")
    return judged(asked, hub.store.table("completions")).unionByName(parsed.where(F.col("reason").isNotNull()))


def estimates(hub: Hub, answers: Estimate) -> list[Estimate]:
    """What moderation of these answers costs at most."""
    name = hub.config.synthesis.moderation_model
    if name is None:
        return []
    tokens = answers.completion_tokens / answers.calls if answers.calls else 0
    return [estimate_at_most(hub.store, NAME, PURPOSE, hub.config.models[name], prompts.by_name(PROMPT), answers.calls, tokens)]


def ask(parsed: DataFrame, config: Config) -> DataFrame:
    """PARSED -> MODERATION_REQUESTS: those that are accepted, each with its request: judged_by is the completion id."""
    completion_id = prompts.load(PROMPT).completion_ids(config.models[str(config.synthesis.moderation_model)])

    def asked(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        variables = ids.canonical_json({"text": row["content"]})
        yield {**row, "judged_by": completion_id(variables, 0), "variables": variables}

    return map_rows(parsed.where(F.col("reason").isNull()), asked, MODERATION_REQUESTS)


def requests(asked: DataFrame) -> DataFrame:
    """MODERATION_REQUESTS -> REQUESTS."""
    columns = {"stage": F.lit(NAME), "prompt_name": F.lit(PROMPT), "completion_id": F.col("judged_by")}
    number = number_of("completion_id")  # by what is judged, before that column is the judgement's
    return asked.withColumn("sample_index", number).withColumns(columns).select(*schemas.REQUESTS.names)


def judged(asked: DataFrame, completions: DataFrame) -> DataFrame:
    """MODERATION_REQUESTS and COMPLETIONS -> PARSED, where what is unsafe is a reject, and so is what could not be judged (not_judged).

    What has no final completion yet is left out: the next run goes on with it.
    """
    final = completions.where("final").select(F.col("completion_id").alias("judged_by"), "text", "error_kind")

    def verdict(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        parsed = {name: row[name] for name in PARSED.names}
        reason, detail = _verdict(row["text"], row["error_kind"])
        if reason is None:
            yield parsed
            return
        made = refused(row["source_id"], row["completion_id"], reason, detail, row["content"])
        yield {**parsed, "example_id": None, "content": None, **made}

    return map_rows(asked.drop("variables").join(final, on="judged_by", how="inner"), verdict, PARSED)


def _verdict(text: str | None, error_kind: str | None) -> tuple[str | None, str | None]:
    if error_kind in ("content_filter", "prompt_filtered"):
        return "unsafe", "the moderation model's own filter objects"
    value, reason, detail = json_answers.read(text, error_kind, None, json_answers.check(prompts.load(PROMPT).schema or {}))
    if reason is not None:
        return "not_judged", detail or reason
    return ("unsafe", value["why"]) if value["unsafe"] else (None, None)
