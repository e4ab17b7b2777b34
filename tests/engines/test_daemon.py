import subprocess
import sys

import pytest

from personahub.engines.spark import DAEMON


@pytest.mark.spark
def test_it_says_nothing_but_its_port_and_ends_with_its_input():
    """The JVM takes the first four bytes that the daemon prints for the port."""
    ended = subprocess.run([sys.executable, "-m", DAEMON, "pyspark.worker"], input=b"", capture_output=True, timeout=120)
    assert len(ended.stdout) == 4
    assert 0 < int.from_bytes(ended.stdout, "big") < 65536
