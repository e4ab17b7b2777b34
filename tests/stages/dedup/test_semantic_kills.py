"""Kill -9 of the whole run (driver, JVM, workers) while it buys vectors: what is bought again is what was in flight, and no more."""

import os
import subprocess
import sys
from itertools import chain
from pathlib import Path

import killing
import pytest

from personahub import mockserver, pipeline
from personahub.config import load
from personahub.engines.spark import SHORT_RUN

TEXTS, PLACES, BATCH = 1200, 8, 8


def decided(settings):
    """One more run, to its end: on how many personas it decided."""
    with pipeline.open_hub(load(overrides=settings), spend=True) as hub:
        [result] = pipeline.run(hub, ["dedup"])
    return result.counts["compared"]


@pytest.mark.slow
@pytest.mark.engines
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the processes of a run in /proc")
def test_a_kill_costs_at_most_the_requests_in_flight_times_their_batch(spark, tmp_path):
    personas = tmp_path / "personas.jsonl"
    personas.write_text(
        "".join(f'{{"persona": "A keeper of a{n} and b{n} who draws maps of c{n}, d{n} and e{n}"}}\n' for n in range(TEXTS))
    )
    with mockserver.start(port=0, capacity=PLACES, median=0.25, sigma=0.5) as server:
        values = {
            "root": tmp_path / "hub",
            "models.vectors.base_url": server.base_url,
            "models.vectors.api_key_env": "null",
            "models.vectors.max_concurrent_requests": PLACES,
            "dedup.semantic.enabled": "true",
            "dedup.semantic.model": "vectors",
            "dedup.semantic.texts_per_request": BATCH,
            "inference.requests_per_commit": 200,
        }
        settings = [f"{key}={value}" for key, value in values.items()]
        with pipeline.open_hub(load(overrides=settings), spend=True) as hub:
            pipeline.import_personas(hub, pipeline.personas_file(str(personas)))
        run = [sys.executable, "-m", "personahub", "run", "dedup", "--yes", *chain(*(("--set", each) for each in settings))]
        light = {**os.environ, "JAVA_TOOL_OPTIONS": SHORT_RUN["spark.driver.extraJavaOptions"]}
        kills = 0
        for share in (0.3, 0.7):
            quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            kills += killing.kill_when(
                subprocess.Popen(run, env=light, **quiet),
                lambda share=share: server.stats()["requests"] >= share * TEXTS / BATCH,
            )
        assert kills == 2
        assert server.stats()["texts_sold"] < TEXTS
        assert decided(settings) == TEXTS
        stats = server.stats()
        again = stats["texts_sold_twice"]
        assert again <= kills * PLACES * BATCH
        assert stats["texts_sold"] == TEXTS + 1 + again  # one of the probe
        assert decided(settings) == 0
        assert server.stats()["requests"] == stats["requests"]
