from datetime import datetime

import pyarrow as pa
import pytest
from pyarrow import parquet

from personahub.config import load
from personahub.dedup_tool.files import Request, run
from personahub.dedup_tool.input import detect, read
from personahub.errors import InputError
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


WHEN = [datetime(2024, 1, 1, 12, 30, 0, 123456), None]


@pytest.mark.engines
@pytest.mark.parametrize(
    ("column", "values"),
    [
        (pa.array(WHEN, pa.timestamp("us")).cast(pa.timestamp("ns")), WHEN),
        (pa.array(["a", None]).dictionary_encode(), ["a", None]),
        (pa.array([2**64 - 1, None], pa.uint64()), [2**64 - 1, None]),
        (pa.array([255, 0], pa.uint8()), [255, 0]),
        (pa.array([1.5, None], pa.float32()).cast(pa.float16()), [1.5, None]),
        (pa.array([None, None], pa.null()), [None, None]),
        (pa.array([[1, 2], None], pa.list_(pa.int64(), 2)), [[1, 2], None]),
        (pa.array(["a", None], pa.large_string()), ["a", None]),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_columns_of_types_that_engines_lack_keep_their_values(spark, tmp_path, column, values):
    parquet.write_table(pa.table({"persona": ["A baker", "A sailor"], "more": column}), tmp_path / "p.parquet")
    run(Request(str(tmp_path / "p.parquet"), str(tmp_path / "out")), load())
    kept = pa.concat_tables(
        parquet.read_table(file) for file in sorted((tmp_path / "out" / "kept").glob("*.parquet"))
    ).to_pylist()
    found = {row["persona"]: row["more"] for row in kept}
    assert [found["A baker"], found["A sailor"]] == values


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, 2], pa.timestamp("ns")),
        pa.array([1, 2], pa.duration("us")),
        pa.array([1, 2], pa.time64("us")),
    ],
    ids=lambda column: str(column.type),
)
def test_a_column_that_results_cannot_hold_is_named(spark, tmp_path, column):
    parquet.write_table(pa.table({"persona": ["A baker", "A sailor"], "more": column}), tmp_path / "p.parquet")
    with pytest.raises(InputError, match=r"cannot hold the column 'more'.*drop or cast it"):
        run(Request(str(tmp_path / "p.parquet"), str(tmp_path / "out")), load())


def test_a_text_that_is_no_utf_8_is_named_by_its_file(spark, tmp_path):
    raw = pa.array([b"A baker", b"caf\xe9"], pa.binary())
    parquet.write_table(pa.table({"persona": pa.Array.from_buffers(pa.string(), 2, raw.buffers())}), tmp_path / "p.parquet")
    with pytest.raises(InputError, match=r"p\.parquet is damaged.*UTF"):
        run(Request(str(tmp_path / "p.parquet"), str(tmp_path / "out")), load())
