import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from personahub.config import Config, load
from personahub.errors import ConfigError

CONF = Path(__file__).resolve().parents[2] / "conf"


def write(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_base_yaml_shows_every_key_with_its_default():
    assert yaml.safe_load((CONF / "base.yaml").read_text()) == Config().model_dump(mode="json")


def test_base_yaml_comments_every_key():
    lines = (CONF / "base.yaml").read_text().splitlines()
    bare = [
        line
        for before, line in zip(["", *lines], lines, strict=False)
        if re.match(r" *[a-z_]+:", line) and "# " not in line and not before.lstrip().startswith("#")
    ]
    assert bare == []


@pytest.mark.parametrize("name", ["base", "local", "cluster", "paper"])
def test_the_files_in_conf_are_valid(name):
    assert isinstance(load([CONF / f"{name}.yaml"]), Config)


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
        ("spark.conf.spark_executor_cores=4", "spark.conf.spark_executor_cores"),  # Spark's settings are strings
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
    assert load(overrides=["spark.conf.spark.sql.ansi.enabled='true'"]).spark.conf == {"spark.sql.ansi.enabled": "true"}


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


def test_a_stage_that_names_no_model():
    with pytest.raises(ConfigError, match=r"synthesis\.model names 'defalt', which is not under models; did you mean default\?"):
        load(overrides=["synthesis.model=defalt"])


def test_a_budget_needs_the_prices_of_what_is_asked():
    assert load(overrides=["inference.budget_usd=5"]).models["default"].unpriced() == ["in_mtok_cost", "out_mtok_cost"]
    half = load(overrides=["inference.budget_usd=5", "models.default.in_mtok_cost=0"]).models["default"]  # nothing is a price
    assert (half.unpriced(), half.unpriced(answers=False)) == (["out_mtok_cost"], [])
    priced = ["inference.budget_usd=5", "models.default.in_mtok_cost=0.1", "models.default.out_mtok_cost=0.4"]
    assert load(overrides=priced).models["default"].cost_usd(1_000_000, 2_000_000) == pytest.approx(0.9)


def test_a_config_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Config().root = "elsewhere"


@given(
    st.permutations(
        ["root: a", "inference: {journal: 'off', requests_per_commit: 7}", "documents: {max_documents: 3}", "# a comment"]
    )
)
def test_the_fingerprint_is_of_the_values_only(tmp_path_factory, lines):
    expected = load(
        overrides=["root=a", "inference.requests_per_commit=7", "inference.journal='off'", "documents.max_documents=3"]
    ).fingerprint
    mine = write(tmp_path_factory.mktemp("conf"), "\n".join(lines))
    assert load([mine]).fingerprint == expected
    assert load([mine], ["root=b"]).fingerprint != expected


@pytest.mark.parametrize(("said", "meant"), [("on", "on"), ("off", "off"), ("'on'", "on"), ("auto", "auto")])
def test_a_bare_on_or_off_is_no_boolean(said, meant):
    assert load(overrides=[f"inference.journal={said}"]).inference.journal == meant


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


def test_a_price_that_does_not_count_need_not_be_known():
    model = load(overrides=["models.default.in_mtok_cost=2"]).models["default"]
    assert model.cost_usd(1_000_000, 0) == 2.0
    assert model.cost_usd(1_000_000, 1) is None


def test_paths_know_the_home_folder_and_variables(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("CORPORA", "/data")
    config = load(overrides=["root=~/hub", "documents.path=$CORPORA/c4", "synthesis.few_shot.file=${CORPORA}/examples.jsonl"])
    assert (config.root, config.documents.path) == ("/home/me/hub", "/data/c4")
    assert config.synthesis.few_shot.file == "/data/examples.jsonl"
    assert load(overrides=["root=abfss://$web@account/hub"]).root == "abfss://$web@account/hub"
    with pytest.raises(ConfigError, match=r"root: \$NOWHERE is not set"):
        load(overrides=["root=$NOWHERE/hub"])


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


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("api_key_env", "sk-proj-0123456789abcdef"),
        ("api_key_env", "hf_ABCdefGHIjklMNOpqrSTU1"),
        ("api_key_env", "AbCdEf0123456789AbCdEf01"),
        ("base_url", "https://me:0123456789abcdef@llm.example.com/v1"),
    ],
)
def test_a_key_where_a_name_belongs_is_refused_and_not_repeated(key, value):
    with pytest.raises(ConfigError, match=f"models.default.{key}") as error:
        load(overrides=[f"models.default.{key}={value}"])
    assert value not in str(error.value)


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "my_key", "KEY2"])
def test_names_of_variables_are_names(name):
    assert load(overrides=[f"models.default.api_key_env={name}"]).models["default"].api_key_env == name


@pytest.mark.parametrize("value", ["abc", "0", "-5", "1.5", "true"])
def test_an_answer_has_a_whole_number_of_tokens(value):
    with pytest.raises(ConfigError, match="max_tokens is a whole number"):
        load(overrides=[f"models.default.generation_params.max_tokens={value}"])
