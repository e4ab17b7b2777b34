"""Problems are solved and judged; a killed run ends as one that nothing kills, and buys again what was in flight at most."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from personahub import mockserver, pipeline
from personahub.config import load
from personahub.mockserver import solving
from personahub.stages.solve import solved, split_of

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))
import killing
import places

PEOPLE, PLACES = 40, 8
SETTINGS = {
    "models.other.model": "another",
    "verification.of": "all",
    "verification.test_share": 0.5,
    "verification.judge": "default",
    "verification.sandbox": "limits_only",
    "verification.solvers": json.dumps(
        [{"model": "default"}, {"model": "default", "method": "program"}, {"model": "other", "method": "direct"}]
    ),
}


def direct(**answer):
    return solved("direct", json.dumps({"reasoning": "so", "conditions": "complete", **answer}), None, None)


def program(source):
    return solved("program", json.dumps({"program": source}), None, None, limits_only=True)


def test_what_a_solver_says_becomes_an_answer_or_a_reason():
    assert direct(answer=" 12 km ") == {"answer": "12 km", "conditions": "complete"}
    assert direct(answer="", conditions="missing") == {"conditions": "missing"}
    assert direct(answer=" ")["reason"] == "no_answer"
    assert solved("direct", "no JSON", None, None)["reason"] == "invalid"
    assert solved("direct", None, "content_filter", "no")["reason"] == "content_filter"


def test_a_program_answers_with_the_last_line_that_it_prints():
    assert program("print('by steps')\nprint(6 * 7, 'km')\n")["answer"] == "42 km"
    assert program("print('CONTRADICTORY')")["conditions"] == "contradictory"
    failed = program("print(1 / 0)")
    assert failed["reason"] == "program_error"
    assert "ZeroDivisionError" in failed["detail"]
    assert failed.get("answer") is None


def test_a_larger_share_holds_out_the_same_personas_and_more():
    small, large = ({n for n in range(2000) if split_of(str(n), share) == "test"} for share in (0.02, 0.2))
    assert small < large
    assert abs(len(large) - 400) < 60
    assert split_of("any", 1.0) == "test"
    assert split_of("any", 0.0) == "train"


def run(settings):
    sets = [part for each in settings for part in ("--set", each)]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-m", "personahub", "run", "solve", "verify", "--yes", *sets], **quiet)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the processes of a run in /proc")
def test_a_killed_run_ends_as_one_that_nothing_kills(spark, tmp_path):
    people = tmp_path / "people.jsonl"
    texts = [f"A keeper of bees from valley {n} who draws maps of every orchard within {n} miles" for n in range(PEOPLE)]
    people.write_text("".join(json.dumps({"persona": text}) + "\n" for text in texts))
    with mockserver.start(port=0, capacity=PLACES, median=0.1) as server:
        values = SETTINGS | {
            f"models.{alias}.{key}": value
            for alias in ("default", "other")
            for key, value in {
                "base_url": server.base_url, "api_key_env": "null", "max_concurrent_requests": PLACES, "response_format": "json_schema",
            }.items()
        }  # fmt: skip
        whole, killed = ([f"root={tmp_path / name}", *(f"{k}={v}" for k, v in values.items())] for name in ("whole", "killed"))
        with pipeline.open_hub(load(overrides=whole), spend=True) as hub:
            pipeline.import_personas(hub, pipeline.personas_file(str(people)))
            (made,) = pipeline.run(hub, ["synthesize"])
            problems = made.counts["examples"]
            assert server.stats()["requests"] == PEOPLE  # without being asked to, nothing is solved
        shutil.copytree(tmp_path / "whole", tmp_path / "killed")
        server.reset()
        assert run(whole).wait() == 0
        calls = server.stats()["requests"]
        assert 2 * problems < calls < 3 * problems
        server.reset()
        assert killing.kill_when(run(killed), lambda: server.stats()["distinct_bodies"] >= problems // 2)
        assert run(killed).wait() == 0
        stats = server.stats()
        assert stats["distinct_bodies"] == calls
        assert stats["requests"] - calls <= PLACES
        found, expected = (places.tables(tmp_path / name) for name in ("killed", "whole"))
        for name in ("examples", "solutions", "verdicts"):
            assert found[name] == expected[name], name
        assert run(killed).wait() == 0
        assert server.stats()["requests"] == stats["requests"]

        with pipeline.open_hub(load(overrides=whole), spend=True) as hub:
            truth = {
                row.example_id: solving.truth(json.loads(row.content)["problem"]) for row in hub.store.table("examples").collect()
            }
            verdicts = hub.store.table("verdicts").collect()
            said = list(pipeline.progress(hub))
    assert {row.example_id for row in verdicts} == truth.keys()
    agreed = [row for row in verdicts if row.verdict == "agreed"]
    assert len(agreed) > 0.7 * problems
    right = [row for row in agreed if int(row.answer.split()[0]) == truth[row.example_id]]
    assert len(right) > 0.9 * len(agreed)
    assert "judge" in {row.layer for row in agreed}
    assert {row.split for row in verdicts} == {"test", "train"}
    assert f"solvers agree on {len(agreed)} of {problems} problems" in " ".join(said)
    assert "of the agreed answers" in " ".join(said)
