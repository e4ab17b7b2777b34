import json
import subprocess
import sys
import threading
import time

import pytest

from personahub.errors import ConfigError, RootInUse
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


def test_of_another_host_only_the_heartbeat_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.1)

    def held_since(seconds: float) -> None:
        holder = {"run_id": "far", "host": "elsewhere", "pid": 1, "started": "1", "heartbeat": time.time() - seconds}
        (tmp_path / NAME).write_text(json.dumps(holder))

    held_since(10)
    with pytest.raises(RootInUse, match="elsewhere"), Lease(tmp_path, "run"):
        pass
    held_since(61)
    with Lease(tmp_path, "run"):
        pass


def test_a_heartbeat_of_a_clock_that_is_ahead_proves_nothing_unless_it_beats(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.2)
    holder = {"run_id": "far", "host": "elsewhere", "pid": 1, "started": "1", "heartbeat": time.time() + 31_536_000}
    (tmp_path / NAME).write_text(json.dumps(holder))
    with Lease(tmp_path, "run"):
        pass
    (tmp_path / NAME).write_text(json.dumps(holder))
    beat = threading.Timer(0.05, (tmp_path / NAME).write_text, [json.dumps({**holder, "heartbeat": holder["heartbeat"] + 15})])
    beat.start()
    with pytest.raises(RootInUse, match="last heard 0 s ago"), Lease(tmp_path, "run"):
        pass
    beat.join()


def test_a_clock_that_is_behind_loses_no_lease_that_beats(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.2)
    holder = {"run_id": "far", "host": "elsewhere", "pid": 1, "started": "1", "heartbeat": time.time() - 86_400}
    (tmp_path / NAME).write_text(json.dumps(holder))
    beat = threading.Timer(0.05, (tmp_path / NAME).write_text, [json.dumps({**holder, "heartbeat": holder["heartbeat"] + 15})])
    beat.start()
    with pytest.raises(RootInUse), Lease(tmp_path, "run"):
        pass
    beat.join()


def test_a_container_of_the_same_name_and_process_number_is_another_host(tmp_path, monkeypatch):
    with Lease(tmp_path, "first"):
        monkeypatch.setattr(lease.os, "readlink", lambda path: "pid:[1]")
        monkeypatch.setattr(lease, "_started", lambda pid: "another process of this number")
        with pytest.raises(RootInUse), Lease(tmp_path, "second"):
            pass


@pytest.mark.parametrize("folder", ["file", "file/hub"])
def test_a_folder_that_cannot_be_written_is_a_wrong_setting(tmp_path, folder):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot write into .*file.*: .*root"), Lease(tmp_path / folder, "run"):
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
