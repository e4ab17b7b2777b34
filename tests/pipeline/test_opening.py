import pytest

import personahub as ph
from personahub import engines, pipeline
from personahub.config import load
from personahub.errors import ConfigError

OWN = {
    "spark.sql.session.timeZone": "America/New_York",
    "spark.databricks.delta.optimizeWrite.enabled": "true",
    "spark.sql.ansi.enabled": "false",
}


@pytest.mark.engines
def test_a_session_that_was_active_has_its_own_settings_again(spark, tmp_path):
    def now():
        return {key: spark.conf.get(key, None) for key in {**OWN, **engines.RUNTIME}}

    config = load(overrides=[f"root={tmp_path / 'hub'}"])
    with engines.with_settings(spark, OWN):
        before = now()
        with pipeline.open_hub(config) as hub:
            assert hub.spark is spark
            assert now() == {**before, **engines.RUNTIME}
        assert now() == before
        with pytest.raises(ZeroDivisionError), pipeline.open_hub(config):
            1 / 0  # noqa: B018
        assert now() == before
        ph.open(tmp_path / "hub").status()
        ph.deduplicate(spark.createDataFrame([("a b",), ("b a",)], "persona string")).close()
        assert now() == before


@pytest.mark.parametrize("root", ["file", "file/hub"])
def test_a_root_that_cannot_be_a_folder_is_a_wrong_setting(spark, tmp_path, root):
    (tmp_path / "file").write_text("")
    config = load(overrides=[f"root={tmp_path / root}"])
    for spend in (False, True):
        with pytest.raises(ConfigError, match="root"), pipeline.open_hub(config, spend=spend):
            pass
