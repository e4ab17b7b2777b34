"""PySpark's daemon in a local session. It forks the workers: what each of them would load for itself, three seconds of it, is loaded once.

A worker serves one task after the other, but Spark takes the one that has waited longest: without this, each of them comes to load it all.
"""

import gc

import pandas  # noqa: F401
import pyarrow as pa
import pyspark.worker  # noqa: F401
from pyspark.daemon import manager

import personahub.documents
import personahub.inference.executor
import personahub.stages.persona_to_persona.transform
import personahub.stages.synthesize.transform
import personahub.stages.text_to_persona  # noqa: F401
from personahub.config import LexicalDedup
from personahub.dedup import blocking_keys, bucket_pairs, shared_keys  # noqa: F401

if __name__ == "__main__":
    blocking_keys.keys_of(pa.array(["a text, so that the compiled functions are read from disk"]), LexicalDedup())
    gc.collect()
    gc.freeze()  # PySpark's workers collect garbage after each task: not among what is loaded here
    manager()
