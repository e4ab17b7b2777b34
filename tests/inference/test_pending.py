"""What an estimate goes by: the ledger's mean or, for prompts unlike those in it, their own length."""

from datetime import datetime

import pytest

from personahub import schemas
from personahub.config import Model, load
from personahub.ids import canonical_json
from personahub.inference.pending import MIN_OBSERVATIONS, PendingRequests, RequestBatch, estimate
from personahub.stages.synthesize import tasks
from personahub.storage.delta import Store

IN_THE_LEDGER = 350  # tokens of each prompt


@pytest.fixture(scope="module")
def foreseen(spark, tmp_path_factory):
    """Prompt tokens that are foreseen for two requests, by the characters of their persona."""
    model, prompt = Model(), tasks.load("math").prompts["zero_shot"]
    store = Store(spark, load(overrides=[f"root={tmp_path_factory.mktemp('hub')}"]))
    answered = {
        "stage": "synthesize", "prompt_name": prompt.name, "prompt_version": prompt.version, "model": model.model, "final": True,
        "prompt_tokens": IN_THE_LEDGER, "completion_tokens": 7, "created_at": datetime(2026, 1, 1),
    }  # fmt: skip
    told = [{**answered, "completion_id": str(number), "sample_index": number} for number in range(MIN_OBSERVATIONS)]
    store.append(spark.createDataFrame(told, schemas.COMPLETIONS), "completions")

    def tokens(characters):
        asked = {"prompt_name": prompt.name, "variables": canonical_json({"persona": "x" * characters})}
        rows = spark.createDataFrame([{**asked, "completion_id": name} for name in "ab"], schemas.REQUESTS)
        order = RequestBatch("synthesize", "examples", rows, model, {prompt.name: prompt})
        return estimate(store, order, PendingRequests(rows, 2, 0, 0, characters, 0)).prompt_tokens

    return tokens


def test_prompts_like_those_in_the_ledger_are_taken_for_as_long(foreseen):
    assert foreseen(10) == 2 * IN_THE_LEDGER


def test_far_longer_prompts_are_taken_by_their_own_length(foreseen):
    assert foreseen(40_000) == pytest.approx(2 * (40_000 / 4 + IN_THE_LEDGER), rel=0.1)
