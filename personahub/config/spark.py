"""`spark`: on which engine everything runs."""

from typing import Any, Literal

from pydantic import field_validator

from personahub.config.values import Settings


class Spark(Settings):
    engine: Literal["auto", "embedded", "spark"] = "auto"
    master: str | None = None
    conf: dict[str, str] = {}

    @field_validator("conf", mode="before")
    @classmethod
    def _as_spark_writes_them(cls, conf: Any) -> Any:
        """Numbers, and true and false, need no quotes."""
        if not isinstance(conf, dict):
            return conf
        return {key: str(value).lower() if isinstance(value, bool | int | float) else value for key, value in conf.items()}
