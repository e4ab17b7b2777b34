"""The block `dedup`."""

import pytest

from personahub.config import load
from personahub.errors import ConfigError


def test_vectors_come_from_one_source_that_is_known():
    for overrides, message in (
        (["dedup.semantic={model: default, local_model: x}"], "dedup.semantic: model and local_model are both set"),
        (["dedup.semantic={local_revision: x}"], "local_revision is set without local_model"),
        (["dedup.semantic={enabled: true, model: defautl}"], "dedup.semantic.model names 'defautl'.*default"),
        (["dedup.semantic.texts_per_request=2049"], "dedup.semantic.texts_per_request"),
    ):
        with pytest.raises(ConfigError, match=message):
            load(overrides=overrides)
    load(overrides=["dedup.semantic={enabled: true}"])  # `personahub dedup --vectors` brings its own
