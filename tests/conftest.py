"""One Spark session a process of the run, started only by tests that ask for it; real data only where it lies beside the checkout."""

import io
import os
import subprocess
import sys
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import pytest

TESTS = Path(__file__).resolve().parent
ON_SPARK = os.environ.get("PERSONAHUB_ENGINE") == "spark"


def pytest_sessionstart(session):
    """Before several processes start a Spark each: where the jars were never fetched, they would all write to Ivy's cache at once."""
    if ON_SPARK and session.config.getoption("numprocesses", None) and not hasattr(session.config, "workerinput"):
        start = "from personahub import config, engines; engines.open_session(config.load()).stop()"
        for last in (False, False, True):  # a registry may fail for a moment
            if subprocess.run([sys.executable, "-c", start], check=last).returncode == 0:
                break


def pytest_collection_modifyitems(items):
    """For `make test`, which runs several processes: slow tests begin first, each wherever there is room; the others of a file share
    one process, as they share what was set up for them.
    """
    for item in items:
        if item.get_closest_marker("slow") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    """A session on the engine that PERSONAHUB_ENGINE names: the embedded one, unless it says spark."""
    from personahub import engines
    from personahub.config import load
    from personahub.engines.spark import SHORT_RUN

    scratch = tmp_path_factory.mktemp("spark")
    conf = {
        **SHORT_RUN,
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.local.dir": str(scratch / "local"),
        "spark.driver.memory": "2g",
    }
    session_ = engines.open_session(load(overrides=[f"spark.conf={conf}"] if ON_SPARK else []))
    yield session_
    session_.stop()


@pytest.fixture(scope="session")
def demo(spark, tmp_path_factory):
    """`personahub demo`, run once: its folder (out), what it printed, what its endpoint counted (stats). For tests to copy from."""
    from personahub import cli
    from personahub.llm import mock_server

    out, printed, stats, start = tmp_path_factory.mktemp("demo"), io.StringIO(), {}, mock_server.start

    @contextmanager
    def counted(*arguments, **changes):
        with start(*arguments, **changes) as server:
            yield server
            stats.update(server.stats())

    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.setattr(mock_server, "start", counted)
        with pytest.raises(SystemExit) as ended:
            cli.main(["demo", "--out", str(out)])
    assert ended.value.code == 0, printed.getvalue()
    return SimpleNamespace(out=out, printed=printed.getvalue(), stats=stats)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = TESTS.parents[1] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder of real data is not beside this checkout")
    return folder
