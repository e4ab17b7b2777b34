"""YAML that refuses a key which stands twice in a mapping: PyYAML keeps the later value and drops the earlier one silently."""

from typing import Any

import yaml


def parse(text: str) -> Any:
    """The plain data that `text` holds. Raises yaml.YAMLError with line and column, also for a key that stands twice in a mapping."""
    return yaml.load(text, Loader=_Loader)


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        mapping = super().compose_mapping_node(anchor)
        first: dict[str, yaml.Node] = {}
        for key, _ in mapping.value:
            if isinstance(key, yaml.ScalarNode) and first.setdefault(key.value, key) is not key:
                raise yaml.composer.ComposerError(
                    "a key stands twice", first[key.value].start_mark, f"{key.value} again", key.start_mark
                )
        return mapping
