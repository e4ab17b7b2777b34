import errno
import json
import os
import subprocess
import sys
import threading
import time

import pytest
from deltalake import DeltaTable

from personahub.errors import ConfigError, RootInUse
from personahub.storage import lease, table_versions
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


def wait_for_loss(held, seconds=2.0):
    end = time.monotonic() + seconds
    while held.lost is None and time.monotonic() < end:
        time.sleep(0.01)
    return held.lost


@pytest.mark.parametrize("trouble", ["write_text", "read_text"])
def test_a_file_system_that_fails_for_a_moment_loses_no_lease_and_one_that_stays_away_does(tmp_path, monkeypatch, trouble):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", 0.5)

    def stale(*_, **__):
        raise OSError(errno.ESTALE, "Stale file handle")

    with Lease(tmp_path, "run") as held:
        with monkeypatch.context() as broken:
            broken.setattr(lease.Path, trouble, stale)
            time.sleep(0.1)
            assert held.lost is None
        before = json.loads((tmp_path / NAME).read_text())["heartbeat"]
        time.sleep(0.2)
        assert json.loads((tmp_path / NAME).read_text())["heartbeat"] > before
        with monkeypatch.context() as broken:
            broken.setattr(lease.Path, trouble, stale)
            assert "could not be renewed" in wait_for_loss(held)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_hard_links_has_leases(tmp_path, monkeypatch, number):
    def no_links(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", no_links)
    with Lease(tmp_path, "first"), pytest.raises(RootInUse, match="run first"), Lease(tmp_path, "second"):
        pass
    assert list(tmp_path.iterdir()) == []
    table_versions.make(tmp_path / "personas", "personas")
    assert DeltaTable(str(tmp_path / "personas")).version() == 0


def test_a_lease_that_is_being_written_is_held(tmp_path):
    (tmp_path / NAME).write_text("")
    holder = {"run_id": "other", "host": "elsewhere", "heartbeat": time.time()}
    rest = threading.Timer(0.3, (tmp_path / NAME).write_text, [json.dumps(holder)])
    rest.start()
    with pytest.raises(RootInUse, match="run other"), Lease(tmp_path, "run"):
        pass
    rest.join()


def test_a_run_learns_that_it_was_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)
    with Lease(tmp_path, "old") as held:
        time.sleep(0.1)
        assert held.lost is None
        (tmp_path / NAME).write_text(json.dumps({"run_id": "new"}))
        assert "another run has taken over" in wait_for_loss(held)
    assert json.loads((tmp_path / NAME).read_text())["run_id"] == "new"  # not ours to give back


def test_a_broken_lease_file_is_put_aside(tmp_path):
    (tmp_path / NAME).write_text("{")
    with Lease(tmp_path, "run"):
        pass
