"""Where `personahub dedup` and `deduplicate_frame` write what they read again."""

import re
import tempfile
import uuid

from pyspark.sql import DataFrame, SparkSession

from personahub import engines
from personahub.config import Config
from personahub.errors import ConfigError
from personahub.storage.delta import Store


class Scratch:
    """Frames that are written once and read back, under names that no other run has."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._run = f"dedup-{uuid.uuid4().hex[:8]}"
        self._names: dict[str, None] = {}

    def materialise(self, rows: DataFrame, name: str) -> DataFrame:
        self._names[f"{self._run}.{name}"] = None
        return self.store.materialise(rows, f"{self._run}.{name}")

    def drop(self) -> None:
        self.store.drop_scratch(*self._names)
        self._names.clear()


def temporary(spark: SparkSession) -> str:
    """A folder of this machine; ConfigError where tasks run on others."""
    if not engines.is_on_this_machine(spark):
        raise ConfigError("name a scratch place that all workers reach: scratch='/a/shared/folder' or scratch='catalog.schema'")
    return tempfile.mkdtemp(prefix="personahub-dedup-")


def scratch_root(scratch: str) -> Config:
    """Where the scratch tables lie."""
    if re.fullmatch(r"\w[\w-]*(\.\w[\w-]*){1,2}", scratch):
        return Config(catalog=scratch)
    return Config(root=scratch)
