"""`inference`: how answers are bought and kept."""

from typing import Any, Literal

from pydantic import field_validator

from personahub.config.values import Count, Place, Price, Settings, Share


class Inference(Settings):
    requests_per_commit: Count = 1000
    concurrent_windows: Count = 4
    tasks_per_window: Count | Literal["auto"] = "auto"
    journal: Literal["auto", "on", "off"] = "auto"
    journal_path: Place | None = None
    budget_usd: Price | None = None
    max_error_rate: Share = 0.6

    @field_validator("journal", mode="before")
    @classmethod
    def _yaml_switch(cls, value: Any) -> Any:
        """YAML reads a bare on or off as true or false."""
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value
