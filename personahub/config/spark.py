"""`spark`: on which engine everything runs."""

from typing import Literal

from personahub.config.values import Settings


class Spark(Settings):
    engine: Literal["auto", "embedded", "spark"] = "auto"
    master: str | None = None
    conf: dict[str, str] = {}
