"""The user is asked once, with the sum over all stages; each purchase draws on what was agreed to."""

import json

import pytest

from personahub import mockserver, pipeline
from personahub.config import load
from personahub.errors import Interrupted

PERSONAS = [f"A violin maker from town {n} who teaches children to listen" for n in range(8)]


class Asked(pipeline.Silent):
    """Notes what it is asked, and gives the same answer each time."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    def confirm(self, estimates):
        self.asked.append([(one.stage, one.purpose) for one in estimates])
        return self.answer


@pytest.fixture
def config(tmp_path, spark):
    (tmp_path / "p.jsonl").write_text("".join(json.dumps({"persona": text}) + "\n" for text in PERSONAS))
    with mockserver.start(port=0, median=0.0) as server:
        model = {"base_url": server.base_url, "api_key_env": None}
        config = load(
            overrides=[
                f"root={tmp_path / 'hub'}",
                f"models.default={json.dumps(model)}",
                f"models.vectors={json.dumps(model)}",
                "dedup.semantic={enabled: true, model: vectors}",
                "persona_to_persona.hops=2",
                "persona_to_persona.max_frontier=6",
                'synthesis.tasks=["conversation"]',
                "synthesis.conversation.turns=1",
                "synthesis.moderation_model=default",
            ]
        )
        with pipeline.open_hub(config, spend=True) as hub:
            pipeline.import_personas(hub, pipeline.personas_file(str(tmp_path / "p.jsonl")))
        yield config


def run(config, ui):
    with pipeline.open_hub(config, ui, spend=True) as hub:
        return list(pipeline.run(hub, ["dedup", "persona-to-persona", "synthesize"]))


def test_one_question_covers_hops_vectors_moderation_and_turns(config):
    ui = Asked(True)
    results = run(config, ui)
    assert [result.stage for result in results].count("persona-to-persona") == 2
    (asked,) = ui.asked
    assert {("dedup", "vectors"), ("persona-to-persona", "hops"), ("synthesize", "examples")} <= set(asked)
    assert {("synthesize", "moderation"), ("synthesize", "turns of the assistant")} <= set(asked)


def test_who_declines_buys_nothing(config):
    ui = Asked(False)
    with pytest.raises(Interrupted, match="nothing was bought"):
        run(config, ui)
    assert len(ui.asked) == 1
    with pipeline.open_hub(config) as hub:
        assert hub.store.table("completions").isEmpty()
        assert hub.store.table("embeddings").isEmpty()
