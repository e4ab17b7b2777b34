"""A stage of a user's own, in one file (titles.py): it is run, estimated, previewed, killed, resumed, counted and forgotten."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from personahub import mockserver

MODULE = Path(__file__).with_name("titles.py")
TEXTS = [
    f"Bees of orchard {n} sleep in the hollow of the oldest tree, and no one has counted them since the flood." for n in range(60)
]
RUN = "[result.counts for result in pipeline.run(hub, ['titles'])]"


def test_the_file_is_short():
    assert len(MODULE.read_text().splitlines()) <= 60


@pytest.mark.slow
def test_a_stage_of_a_users_own(tmp_path):
    (tmp_path / "texts.jsonl").write_text(
        "".join(json.dumps({"id": f"d{n}", "text": text}) + "\n" for n, text in enumerate(TEXTS))
    )
    with mockserver.start(port=0, median=0.2, sigma=0.1, capacity=4) as server:
        given = [
            f"root={tmp_path / 'hub'}", "documents.format=jsonl", f"documents.path={tmp_path / 'texts.jsonl'}",
            f"models.default.base_url={server.base_url}", "models.default.api_key_env=null", "models.default.max_concurrent_requests=4",
            "documents.filters={min_characters: null}", "documents.languages=[]", "models.default.response_format=none",
        ]  # fmt: skip

        def command(expression):
            return [sys.executable, str(MODULE), expression, *given]

        def told(expression):
            done = subprocess.run(command(expression), capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout.splitlines()[-1])

        told("list(pipeline.run(hub, ['documents']))")
        assert told("[(one.purpose, one.calls) for one in pipeline.estimates(hub, ['titles'])]") == [["titles", 60]]
        assert told("list(pipeline.progress(hub))")[-1] == "60 documents have no title yet: run titles"
        assert server.stats()["requests"] == 0
        assert told("len(pipeline.preview(hub, 'titles', 2))") == 2 == server.stats()["requests"]

        killed = subprocess.Popen(command(RUN), stdout=subprocess.DEVNULL)
        while server.stats()["requests"] < 14:
            assert killed.poll() is None
        killed.kill()
        killed.wait()
        (counts,) = told(RUN)
        assert counts["titles"] == 60
        (again,) = told(RUN)
        assert (again["calls"], again["titles"]) == (0, 0)
        assert server.stats()["bought_twice"] <= 4  # in flight at the kill

        booked = "[(one.stage, one.purposes['titles'].answered) for one in pipeline.status(hub).stages if one.stage == 'titles']"
        assert told(booked) == [["titles", 60]]
        told("pipeline.forget(hub, ['d7'], purge=True)")
        assert told("[row.document_id for row in hub.store.table('titles').where('title is null').collect()]") == ["d7"]
        assert told("[one.calls for one in pipeline.estimates(hub, ['titles'])]") == [0]
