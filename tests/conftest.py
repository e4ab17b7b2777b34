"""One Spark session a process of the run, started only by tests that ask for it; real data only where it lies beside the checkout."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from personahub import mockserver

TESTS = Path(__file__).resolve().parent
ON_SPARK = os.environ.get("PERSONAHUB_ENGINE") == "spark"


def pytest_configure():
    """A shell's background job ignores Ctrl-C, and so would all that tests start: here it has its usual effect."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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

    out, printed, stats, start = tmp_path_factory.mktemp("demo"), io.StringIO(), {}, mockserver.start

    @contextmanager
    def counted(*arguments, **changes):
        with start(*arguments, **changes) as server:
            yield server
            stats.update(server.stats())

    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.setattr(mockserver, "start", counted)
        with pytest.raises(SystemExit) as ended:
            cli.main(["demo", "--out", str(out)])
    assert ended.value.code == 0, printed.getvalue()
    return SimpleNamespace(out=out, printed=printed.getvalue(), stats=stats)


@pytest.fixture
def mock_server() -> Iterator[Callable[..., mockserver.Running]]:
    """`mock_server(median=0.0, ...)` starts one on a free port; keywords are fields of mockserver.Settings."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(mockserver.start(**({"median": 0.0} | settings)))


@pytest.fixture(scope="module")
def quick_server() -> Iterator[mockserver.Running]:
    """Answers at once and never fails."""
    with mockserver.start(median=0.0) as running:
        yield running


@pytest.fixture
def persona_schema() -> dict[str, Any]:
    item = {
        "type": "object",
        "properties": {
            "relation": {"type": "string", "enum": ["read", "write", "like", "dislike"]},
            "persona": {"type": "string"},
        },
        "required": ["relation", "persona"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"personas": {"type": "array", "items": item}},
        "required": ["personas"],
        "additionalProperties": False,
    }


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = TESTS.parents[1] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder of real data is not beside this checkout")
    return folder
