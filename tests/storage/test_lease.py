import json
import subprocess
import sys
import time

import pytest

from personahub.errors import RootInUse
from personahub.storage import lease
from personahub.storage.lease import NAME, Lease


def test_a_second_run_is_told_who_holds_the_root_and_may_follow(tmp_path):
    with Lease(tmp_path, "first"), pytest.raises(RootInUse, match="run first"), Lease(tmp_path, "second"):
        pass
    with Lease(tmp_path, "third"):
        assert json.loads((tmp_path / NAME).read_text())["run_id"] == "third"
    assert list(tmp_path.iterdir()) == []


def test_a_killed_run_frees_the_root_at_once(tmp_path):
    code = (
        "import sys, time; from personahub.storage.lease import Lease\n"
        f"with Lease({str(tmp_path)!r}, 'killed'):\n    print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(RootInUse), Lease(tmp_path, "early"):
        pass
    holder.kill()
    holder.wait()
    with Lease(tmp_path, "next"):
        pass


def test_of_another_host_only_the_heartbeat_is_known(tmp_path):
    def held_since(seconds: float) -> None:
        holder = {"run_id": "far", "host": "elsewhere", "pid": 1, "started": "1", "heartbeat": time.time() - seconds}
        (tmp_path / NAME).write_text(json.dumps(holder))

    held_since(10)
    with pytest.raises(RootInUse, match="elsewhere"), Lease(tmp_path, "run"):
        pass
    held_since(61)
    with Lease(tmp_path, "run"):
        pass


def test_a_run_learns_that_it_was_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)
    with Lease(tmp_path, "old") as held:
        time.sleep(0.1)
        assert not held.lost.is_set()
        (tmp_path / NAME).write_text(json.dumps({"run_id": "new"}))
        assert held.lost.wait(2)
    assert json.loads((tmp_path / NAME).read_text())["run_id"] == "new"  # not ours to give back


def test_a_broken_lease_file_is_put_aside(tmp_path):
    (tmp_path / NAME).write_text("{")
    with Lease(tmp_path, "run"):
        pass
