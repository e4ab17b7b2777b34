"""Kill -9 of a whole run of hops, or of conversations: it ends as one that nothing kills, and buys again what was in flight at most."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from personahub import mockserver, pipeline
from personahub.config import load

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))
import killing
import places

PEOPLE, PLACES = 40, 8
CASES = {
    "persona-to-persona": {"persona_to_persona.hops": 2, "persona_to_persona.max_frontier": PEOPLE},
    "synthesize": {
        "synthesis.tasks": '["conversation"]',
        "synthesis.conversation.turns": 2,
        "synthesis.moderation_model": "default",
    },
}


def run(stage, settings):
    sets = [part for each in settings for part in ("--set", each)]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-m", "personahub", "run", stage, "--yes", *sets], **quiet)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the processes of a run in /proc")
@pytest.mark.parametrize("stage", CASES)
def test_a_killed_run_ends_as_one_that_nothing_kills(spark, tmp_path, stage):
    people = tmp_path / "people.jsonl"
    texts = [f"A keeper of bees from valley {n} who draws maps of every orchard within {n} miles" for n in range(PEOPLE)]
    people.write_text("".join(json.dumps({"persona": text}) + "\n" for text in texts))
    with mockserver.start(port=0, capacity=PLACES, median=0.2, duplicates=0.4) as server:
        values = CASES[stage] | {
            "models.default.base_url": server.base_url,
            "models.default.api_key_env": "null",
            "models.default.max_concurrent_requests": PLACES,
            "models.default.response_format": "json_schema",
        }
        whole, killed = ([f"root={tmp_path / name}", *(f"{k}={v}" for k, v in values.items())] for name in ("whole", "killed"))
        with pipeline.open_hub(load(overrides=whole), spend=True) as hub:
            pipeline.import_personas(hub, pipeline.personas_file(str(people)))
        shutil.copytree(tmp_path / "whole", tmp_path / "killed")
        assert run(stage, whole).wait() == 0
        calls = server.stats()["requests"]
        assert calls > 1.5 * PEOPLE  # a second purchase hangs on the answers of the first
        server.reset()

        def in_the_first_purchase():
            return server.stats()["distinct_bodies"] >= PEOPLE // 2

        def when_its_answers_are_read_back():
            stats = server.stats()
            return stats["distinct_bodies"] >= PEOPLE and not stats["in_flight"]

        for moment in (in_the_first_purchase, when_its_answers_are_read_back):
            assert killing.kill_when(run(stage, killed), moment)
        assert PEOPLE <= server.stats()["distinct_bodies"] < calls
        assert run(stage, killed).wait() == 0
        stats = server.stats()
        assert stats["distinct_bodies"] == calls
        assert stats["requests"] - calls <= 2 * PLACES
        found, expected = (places.tables(tmp_path / name) for name in ("killed", "whole"))
        del found["runs"], expected["runs"]  # several started what one did
        assert found.keys() == expected.keys()
        for name in expected:
            assert found[name] == expected[name], name
        assert run(stage, killed).wait() == 0
        assert server.stats()["requests"] == stats["requests"]
