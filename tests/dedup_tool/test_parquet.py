import pyarrow as pa
import pytest
from pyarrow import parquet

from personahub.config import load
from personahub.dedup_tool.input import detect, read
from personahub.storage.delta import Store


@pytest.mark.engines
def test_files_of_several_schemas_below_folders_that_name_a_column(spark, tmp_path):
    made = {
        "in/lang=en/n=1/a.parquet": {"id": ["1", "2"], "persona": ["a cook", "a mason"]},
        "in/lang=en/n=1/b.parquet": {"id": ["3"], "persona": ["a poet"]},
        "in/lang=d%20e/n=2/a.parquet": {"id": ["4"], "persona": ["ein Koch"], "more": [[1, 2]]},
        "in/lang=__HIVE_DEFAULT_PARTITION__/n=3/a.parquet": {"persona": ["a judge"]},
    }
    for name, columns in made.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pa.table(columns), path)
    rows = read(Store(spark, load(overrides=[f"root={tmp_path / 'hub'}"])), detect(str(tmp_path / "in")))
    found = {(row.id, row.persona, row.lang, row.n, tuple(row.more or ())) for row in rows.collect()}
    assert found == {
        ("1", "a cook", "en", 1, ()),
        ("2", "a mason", "en", 1, ()),
        ("3", "a poet", "en", 1, ()),
        ("4", "ein Koch", "d e", 2, (1, 2)),
        (None, "a judge", None, 3, ()),
    }
