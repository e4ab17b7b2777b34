"""`documents`: what is read, and which texts are refused."""

from typing import Literal

from personahub.config.values import Count, Language, Place, Settings, Share


class Bounds(Settings):
    """A signal must lie within; null leaves a side open."""

    min: float | None = None
    max: float | None = None


class DocumentFilters(Settings):
    min_characters: int | None = 100
    max_characters: int | None = 1_000_000
    max_symbol_ratio: Share | Literal["auto"] | None = "auto"
    max_repeated_line_ratio: Share | Literal["auto"] | None = "auto"
    signals: dict[str, Bounds] = {}


class Documents(Settings):
    format: Literal["redpajama_v2", "jsonl", "parquet", "delta", "c4", "fineweb", "dolma"] = "redpajama_v2"
    path: Place | None = None
    languages: tuple[Language, ...] = ("en",)
    buckets: tuple[Literal["head", "middle", "tail"], ...] = ("head", "middle")
    max_documents: Count | None = None
    text_column: str | None = None
    id_column: str | None = None
    filters: DocumentFilters = DocumentFilters()
