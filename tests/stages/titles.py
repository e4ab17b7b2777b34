"""A stage of a user's own, in one file: a title for each document. `python titles.py "expression over hub" KEY=VALUE ...`"""

import json
import sys

from pyspark.sql import functions as F
from pyspark.sql import types as T

from personahub import pipeline, prompts, schemas, stages
from personahub.config import load
from personahub.inference import RequestBatch
from personahub.rows import map_rows
from personahub.stages.requests import request_row
from personahub.stages.stage import ModelUse, Stage, TextColumns
from personahub.storage import views

NAME = "titles"
ENTRY = {"name": "title", "version": "1", "system": "You name texts.", "user": "Name this text in five words.\n{{ text }}"}
PROMPT = prompts.compiled("title", {**ENTRY, "variables": ["text"], "data": {"text": "document"}, "schema": None})
TITLES = T.StructType([T.StructField(name, T.StringType()) for name in ("document_id", "title", "completion_id")])


def rounds(hub):
    model = hub.config.models["default"]
    completion_id = PROMPT.completion_ids(model)

    def request(row):
        yield request_row(NAME, row["document_id"], 0, PROMPT.name, completion_id, {"text": row["text"]})

    documents = views.live_documents(hub.store.table).select("document_id", "text")
    yield RequestBatch(NAME, "titles", map_rows(documents, request, schemas.REQUESTS), model, {PROMPT.name: PROMPT})


def parse(hub, batch, completions):
    final = completions.where("final").select("completion_id", F.col("text").alias("title"), "error_kind")
    return batch.requests.select(F.col("source_id").alias("document_id"), "completion_id").join(
        final, on="completion_id", how="inner"
    )


def progress(hub):
    made = hub.store.table("titles").select(F.col("document_id").alias("id"))
    waiting = views.without(views.live_documents(hub.store.table), "document_id", made).count()
    return [f"{waiting} documents have no title yet: run {NAME}"] if waiting else []


stages.register(
    Stage(
        NAME, "names each document", rounds, writes=("titles",), parse=parse,
        split=lambda parsed, run_id: (parsed.select(*TITLES.names),), parsed=("titles", "document_id"), progress=progress,
        models=lambda config: [ModelUse("default")], texts=(TextColumns("titles", "document_id", ("title",)),),
        tables={"titles": schemas.Table(TITLES, ("document_id",))},
    )
)  # fmt: skip
if __name__ == "__main__":
    with pipeline.open_hub(load(overrides=sys.argv[2:]), spend=True) as hub:
        print(json.dumps(eval(sys.argv[1]), default=str))  # noqa: T201
