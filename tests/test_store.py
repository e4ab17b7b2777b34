"""Tables on disk: three visible rows each."""

import pytest

from personahub import ids, schemas
from personahub import store as store_module
from personahub.config import load
from personahub.errors import InputError
from personahub.store import Store

LINEAGE = ["child_id", "parent_id", "relation", "completion_id"]


@pytest.fixture
def store(tmp_path, spark):
    return Store(spark, load(overrides=[f"root={tmp_path / 'hub'}"]))


def lineage(spark, *rows):
    return spark.createDataFrame([tuple(row) for row in rows], schemas.LINEAGE)


def test_an_absent_table_is_an_empty_one(store):
    assert not store.exists("personas")
    table = store.table("personas")
    assert table.columns == schemas.PERSONAS.names
    assert table.count() == 0


@pytest.mark.parametrize("stored", [False, True])
def test_only_new_keys_are_inserted_and_a_null_is_a_value_of_a_key(store, spark, stored):
    twice = lineage(
        spark, ("c", "p", "read", "x"), ("c", "p", "read", "x"), ("c", "p", "import", None), ("c", "p", "import", None)
    )
    assert store.insert_new(twice, "lineage", stored) == 2
    more = lineage(spark, ("c", "p", "read", "x"), ("c", "p", "import", None), ("c", "q", "read", "y"))
    assert store.insert_new(more, "lineage", stored) == 1
    assert store.insert_new(more, "lineage", stored) == 0
    assert store.table("lineage").count() == 3


def test_what_was_materialised_is_not_computed_again(store, spark, tmp_path):
    ran = tmp_path / "ran"

    def work(batches):
        for batch in batches:
            with ran.open("a") as file:
                file.write("x" * batch.num_rows)
            yield batch

    rows = store.materialise(spark.range(0, 5, 1, 1).mapInArrow(work, "id long"), "stage.rows")
    assert rows.count() == rows.count() == 5
    assert ran.read_text() == "xxxxx"
    store.drop_scratch("stage.rows")
    assert not list((tmp_path / "hub").rglob("*.parquet"))


def test_what_was_held_is_released_in_one_step(store, spark, monkeypatch):
    store.hold(lineage(spark, ("c", "p", "read", "x")), "stage.rows")
    assert store.held("stage.rows").count() == 1

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(store_module.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            store.release("stage.rows")
    assert store.held("stage.rows") is None
    store.release("stage.rows")


def test_many_commits_are_compacted_and_what_is_large_is_left_as_it_is(store, spark, monkeypatch):
    monkeypatch.setattr(store_module, "MANY_COMMITS", 4)
    monkeypatch.setattr(store_module, "SMALL_FILE", 10_000)
    left = []
    for batch in range(2):
        for number in range(4):
            long = "".join(ids.content_id(f"{batch} {number} {part}") for part in range(200))  # some 4 KB, packed
            store.append(lineage(spark, (long, "p", "read", "x")), "lineage")
        before = len(store.table("lineage").inputFiles())
        store.compact()
        left.append(set(store.table("lineage").inputFiles()))
        assert len(left[-1]) < before
    assert len(left[0]) == 1
    assert left[0] < left[1]
    assert store.table("lineage").count() == 8


def test_a_setting_changed_for_the_windows_is_put_back(store, spark):
    name = "spark.sql.files.openCostInBytes"
    before = spark.conf.get(name)
    with store.one_file_per_task():
        assert spark.conf.get(name) == "1g"
    assert spark.conf.get(name) == before


def test_a_path_that_is_no_delta_table_is_told(store, tmp_path):
    with pytest.raises(InputError, match="not a Delta table"):
        store.read_delta(str(tmp_path / "nothing"))


def test_a_catalog_holds_the_same_tables(tmp_path, spark):
    spark.sql("CREATE SCHEMA IF NOT EXISTS store_test")
    store = Store(spark, load(overrides=["catalog=spark_catalog.store_test"]))
    rows = lineage(spark, ("c", "p", "read", "x"), ("d", "p", "read", "x"))
    assert store.insert_new(rows, "lineage") == 2
    assert store.insert_new(rows, "lineage") == 0
    staged = rows.selectExpr("*", "0 as window", "cast(child_id = 'c' as int) as slot")
    store.materialise(staged, "a-stage.windows", partition_by=("window", "slot"))
    assert store.window("a-stage.windows", staged.schema, 0).count() == 2
    store.drop_all_scratch()
    assert [row.tableName for row in spark.sql("SHOW TABLES IN store_test").collect()] == ["lineage"]
    spark.sql("DROP SCHEMA store_test CASCADE")
