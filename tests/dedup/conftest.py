"""What deduplication writes in between, in a folder of the test's own."""

import pytest


@pytest.fixture
def materialise(spark, tmp_path):
    written = set()

    def write(frame, name):
        assert name not in written  # or it would be read and overwritten at once
        written.add(name)
        frame.write.parquet(str(tmp_path / name))
        return spark.read.schema(frame.schema).parquet(str(tmp_path / name))

    return write
