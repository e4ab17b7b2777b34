"""Types of values that several blocks have."""

import pytest

from personahub.config import Config, load
from personahub.errors import ConfigError


def test_paths_know_the_home_folder_and_variables(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("CORPORA", "/data")
    config = load(overrides=["root=~/hub", "documents.path=$CORPORA/c4", "synthesis.few_shot.file=${CORPORA}/examples.jsonl"])
    assert (config.root, config.documents.path) == ("/home/me/hub", "/data/c4")
    assert config.synthesis.few_shot.file == "/data/examples.jsonl"
    assert load(overrides=["root=abfss://$web@account/hub"]).root == "abfss://$web@account/hub"
    with pytest.raises(ConfigError, match=r"root: \$NOWHERE is not set"):
        load(overrides=["root=$NOWHERE/hub"])


def test_a_language_may_be_named_by_any_of_its_codes():
    config = Config.model_validate(
        {
            "documents": {"languages": ("eng", "de-AT")},
            "personas": {"filters": {"languages": ("zh-Hans",)}},
            "synthesis": {"language": "deu"},
        }
    )
    assert config.documents.languages == ("en", "de")
    assert config.personas.filters.languages == ("zh",)
    assert config.synthesis.language == "de"
    with pytest.raises(ValueError, match="ISO 639-1"):
        Config.model_validate({"synthesis": {"language": "tlh"}})


@pytest.mark.parametrize("number", [".inf", "-.inf", ".nan"])
@pytest.mark.parametrize("key", ["inference.budget_usd", "models.default.in_mtok_cost", "models.default.request_timeout"])
def test_a_number_without_end_is_no_number(key, number):
    with pytest.raises(ConfigError, match=key):
        load(overrides=[f"{key}={number}"])
