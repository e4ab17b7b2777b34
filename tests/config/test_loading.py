"""Files, overrides, and what is said of a mistake in them."""

import re
from pathlib import Path

import pytest

from personahub.config import Config, load
from personahub.errors import ConfigError


def write(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_four_lines_lead_to_a_users_own_endpoint(tmp_path):
    mine = write(tmp_path, "models:\n  default:\n    base_url: https://llm.example.com/v1\n    model: big\n")
    model = load([mine]).models["default"]
    assert (model.base_url, model.model, model.api_key_env) == ("https://llm.example.com/v1", "big", "OPENAI_API_KEY")


def test_a_later_file_wins_and_an_override_wins_over_files(tmp_path):
    first = write(tmp_path, "root: a\ncatalog: main.hub\ninference: {requests_per_commit: 10, concurrent_windows: 2}", "1.yaml")
    second = write(tmp_path, "root: b\ninference: {requests_per_commit: 20}", "2.yaml")
    config = load([first, second], ["root=c", "documents.languages=[de, fr]"])
    assert (config.root, config.catalog) == ("c", "main.hub")
    assert (config.inference.requests_per_commit, config.inference.concurrent_windows) == (20, 2)
    assert config.documents.languages == ("de", "fr")


def test_generation_params_and_signals_are_replaced_as_a_whole():
    config = load(overrides=["models.default.generation_params={temperature: 0.5}", "documents.filters.signals={a: {max: 1}}"])
    assert config.models["default"].generation_params == {"temperature": 0.5}
    assert list(config.documents.filters.signals) == ["a"]


def test_an_empty_file_changes_nothing(tmp_path):
    assert load([write(tmp_path, "# nothing\n")]) == Config()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("rot=x", "unknown config key rot; did you mean root?"),
        ("documents.pth=x", "unknown config key documents.pth; did you mean documents.path?"),
        ("models.default.base_ulr=x", "unknown config key models.default.base_ulr; did you mean models.default.base_url?"),
        ("documents.filters.min_chars=1", "did you mean documents.filters.min_characters?"),
        ("documents.filters.signals.a={mx: 1}", "unknown config key documents.filters.signals.a.mx; did you mean "),
        ("models.mine.base_ulr=x", "did you mean models.mine.base_url?"),
        ("inference.zzz=1", "unknown config key inference.zzz; known here: inference.budget_usd, "),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_right_one(override, message):
    with pytest.raises(ConfigError) as error:
        load(overrides=[override])
    assert message in str(error.value)
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("override", "path"),
    [
        ("inference.requests_per_commit=many", "inference.requests_per_commit"),
        ("inference.requests_per_commit=0", "inference.requests_per_commit"),
        ("inference.requests_per_commit='10'", "inference.requests_per_commit"),  # strict: a string is no number
        ("inference.max_error_rate=1.5", "inference.max_error_rate"),
        ("documents.format=csv", "documents.format"),
        ("documents.buckets=[best]", "documents.buckets.0"),
        ("documents.filters.max_symbol_ratio=-1", "documents.filters.max_symbol_ratio"),
        ("models.default.max_retries=-1", "models.default.max_retries"),
        ("spark.conf.spark_executor_cores=[4]", "spark.conf.spark_executor_cores"),  # Spark's settings are strings
        ("documents=null", "documents"),
    ],
)
def test_an_ill_typed_value_is_named_by_its_dotted_path(override, path):
    with pytest.raises(ConfigError, match=f"config key {re.escape(path)}: "):
        load(overrides=[override])


def test_all_mistakes_are_told_at_once():
    with pytest.raises(ConfigError) as error:
        load(overrides=["rot=x", "inference.requests_per_commit=0"])
    assert len(str(error.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "must hold keys and values, not a list"),
        ("a: [1", "is not valid YAML"),
        ("root: a\nroot: b", "root again"),
        ("a: 2020-01-01", "rot|a"),
    ],
)
def test_a_file_that_is_no_config(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        load([write(tmp_path, text)])


def test_the_keys_of_spark_have_dots_of_their_own():
    given = ["spark.conf.spark.sql.ansi.enabled=true", "spark.conf.spark.executor.cores=4", "spark.conf.spark.app.name=x"]
    assert load(overrides=given).spark.conf == {
        "spark.sql.ansi.enabled": "true",
        "spark.executor.cores": "4",
        "spark.app.name": "x",
    }


def test_a_date_is_no_plain_value():
    with pytest.raises(ConfigError, match="quote dates"):
        load(overrides=["root=2020-01-01"])


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the config file .*nope\.yaml: No such file"):
        load([tmp_path / "nope.yaml"])


@pytest.mark.parametrize("override", ["root", "=x", ""])
def test_an_override_needs_a_key_and_a_value(override):
    with pytest.raises(ConfigError, match="--set takes key=value"):
        load(overrides=[override])


@pytest.mark.parametrize(
    ("old", "lines"),
    [
        ("synthesis.few_shot.pool=2", ["synthesis.few_shot.pool is now called synthesis.few_shot.pool_size"]),
        (
            "generate={commit_every: 3, journal_path: x}",
            [
                "generate.commit_every is now called inference.requests_per_commit",
                "generate.journal_path is now called inference.journal_path",
            ],
        ),
        ("generate=null", ["generate is now called inference"]),
    ],
)
def test_a_key_of_an_earlier_version_names_the_new_one(old, lines):
    with pytest.raises(ConfigError) as error:
        load(overrides=[old])
    assert str(error.value).splitlines() == [f"config key {line}" for line in lines]
