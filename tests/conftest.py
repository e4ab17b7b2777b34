"""One Spark session for the whole run, started only by tests that ask for it; real data only where it lies beside the checkout."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    from personahub import session
    from personahub.config import load

    scratch = tmp_path_factory.mktemp("spark")
    conf = {
        **session.SHORT_RUN,
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.local.dir": str(scratch / "local"),
        "spark.driver.memory": "2g",
    }
    session_ = session.open_session(load(overrides=[f"spark.conf={conf}"]))
    yield session_
    session_.stop()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder of real data is not beside this checkout")
    return folder
