"""Deduplication without a hub: the command `personahub dedup` on files, `deduplicate_frame` on a DataFrame."""

from personahub.dedup_tool.frame import Deduplicated, deduplicate_frame

__all__ = ["Deduplicated", "deduplicate_frame"]
