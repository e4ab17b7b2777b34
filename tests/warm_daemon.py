"""PySpark's daemon, which forks the workers: what each of them would import for itself, a second or two of it, is imported once."""

import pandas  # noqa: F401
import pyarrow  # noqa: F401
import pyspark.worker  # noqa: F401
from pyspark.daemon import manager

import personahub.documents
import personahub.generate
import personahub.synthesis
import personahub.text_to_persona  # noqa: F401

if __name__ == "__main__":
    manager()
