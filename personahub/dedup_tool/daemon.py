"""PySpark's daemon, which forks the workers: what each of them would load for itself, two seconds of it, is loaded once."""

import pyarrow as pa
import pyspark.worker  # noqa: F401
from pyspark.daemon import manager

from personahub.config import LexicalDedup
from personahub.dedup import comparing, keying, sieving  # noqa: F401

if __name__ == "__main__":
    keying.keys_of(pa.array(["a text, so that the compiled functions are read from disk"]), LexicalDedup())
    manager()
