"""The `personahub` command: arguments -> config -> session -> one call of the pipeline -> what people read."""

from personahub.cli.app import main

__all__ = ["main"]
