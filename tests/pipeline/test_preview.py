"""A stage of a user's own whose rounds begin with something else than requests."""

import pytest

from personahub import pipeline, stages
from personahub.config import load
from personahub.embeddings import VectorBatch
from personahub.errors import ConfigError
from personahub.stages.stage import RunStage, Stage
from personahub.storage.hub import Hub, Silent


def _rounds(*asked):
    yield from asked


FREE = Stage("free", "buys nothing", lambda hub: _rounds())
COMPUTED = VectorBatch("mine", "vectors", None, None, load().dedup.semantic)


@pytest.mark.parametrize(("first", "told"), [(RunStage(FREE), "the stage free"), (COMPUTED, "vectors")])
def test_what_it_asks_for_first_is_estimated_and_a_preview_is_refused_in_words(monkeypatch, first, told):
    monkeypatch.setitem(stages.STAGES, "mine", None)  # taken away again at the end
    stages.register(Stage("mine", "a user's own", lambda hub: _rounds(first), parse=lambda *_: None))
    hub = Hub(None, None, load(), "run", Silent())
    assert "mine" in pipeline.buying()
    assert pipeline.estimates(hub, ["mine"]) == []
    with pytest.raises(ConfigError, match=f"mine asks for {told} before its first requests, .*: give it a `preview`"):
        pipeline.preview(hub, "mine", 1)
