"""The whole: its blocks, conf/base.yaml, and what must hold between blocks."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from personahub.config import Config, load
from personahub.errors import ConfigError

CONF = Path(__file__).resolve().parents[2] / "conf"


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


def test_each_block_stands_in_the_file_of_its_name():
    plain = {"root", "catalog", "models"}  # of models each is one, below a name of its user's
    blocks = {name: field.annotation for name, field in Config.model_fields.items() if name not in plain}
    assert {name: f"personahub.config.{name}" for name in blocks} == {name: block.__module__ for name, block in blocks.items()}


def test_a_stage_that_names_no_model():
    with pytest.raises(ConfigError, match=r"synthesis\.model names 'defalt', which is not under models; did you mean default\?"):
        load(overrides=["synthesis.model=defalt"])


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
    mine = tmp_path_factory.mktemp("conf") / "mine.yaml"
    mine.write_text("\n".join(lines), encoding="utf-8")
    assert load([mine]).fingerprint == expected
    assert load([mine], ["root=b"]).fingerprint != expected
