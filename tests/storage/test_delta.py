"""Tables on disk: three visible rows each."""

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from personahub import ids, schemas
from personahub.config import Config, load
from personahub.engines import is_embedded
from personahub.errors import ConfigError, InputError
from personahub.storage import delta, scratch
from personahub.storage.delta import Store

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


@pytest.mark.parametrize("before", ["", "file://"])
def test_of_scratch_and_of_what_was_held_no_text_stays(spark, tmp_path, before):
    store = Store(spark, load(overrides=[f"root={before}{tmp_path / 'hub'}"]))
    rows = spark.createDataFrame(
        [("d", "read", 0, "the text of a document", 0)], "id string, b string, n int, text string, slot int"
    )
    assert store.materialise(rows, "stage.rows", ["n", "slot"]).count() == 1
    assert store.hold(rows, "documents").count() == 1
    assert store.held("documents").count() == 1
    store.release("documents")
    store.drop_all_scratch()
    store.vacuum_held("documents")
    assert store.held("documents") is None or store.held("documents").isEmpty()
    found = [row for path in tmp_path.rglob("*.parquet") for row in pq.ParquetFile(path).read().to_pylist()]
    assert found == []
    store.drop_all_scratch()
    assert store.materialise(rows, "stage.rows").count() == 1


def test_what_was_held_is_released_in_one_step(store, spark, monkeypatch):
    store.hold(lineage(spark, ("c", "p", "read", "x")), "stage.rows")
    assert store.held("stage.rows").count() == 1

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(scratch.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            store.release("stage.rows")
    assert store.held("stage.rows") is None
    store.release("stage.rows")


@pytest.mark.engines
def test_many_commits_are_compacted_and_what_is_large_is_left_as_it_is(store, spark, monkeypatch):
    monkeypatch.setattr(delta, "MANY_COMMITS", 4)
    monkeypatch.setattr(delta, "SMALL_FILE", 20_000)
    long = "".join(ids.content_id(str(part)) for part in range(2000))  # some 40 KB, packed
    store.append(lineage(spark, (long, "p", "read", "x")), "lineage")
    large = DeltaTable(f"{store.root}/lineage").file_uris()
    for number in range(4):
        store.append(lineage(spark, (str(number), "p", "read", "x")), "lineage")
    store.compact()
    left = DeltaTable(f"{store.root}/lineage").file_uris()
    assert len(left) == 2
    assert set(large) < set(left)
    assert store.table("lineage").count() == 5


@pytest.mark.spark
def test_a_setting_changed_for_the_windows_is_put_back(store, spark):
    name = "spark.sql.files.openCostInBytes"
    before = spark.conf.get(name)
    with store.one_file_per_task():
        assert spark.conf.get(name) == "1g"
    assert spark.conf.get(name) == before


def test_a_path_that_is_no_delta_table_is_told(store, tmp_path):
    with pytest.raises(InputError, match="not a Delta table"):
        store.read_delta(str(tmp_path / "nothing"))


@pytest.mark.spark
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


@pytest.mark.engines
def test_a_table_that_cannot_be_read_is_not_taken_for_absent(store, spark, tmp_path):
    store.append(lineage(spark, ("c", "p", "read", "x")), "lineage")
    log = tmp_path / "hub" / "lineage" / "_delta_log" / "00000000000000000000.json"
    log.write_text("damaged")
    again = Store(spark, load(overrides=[f"root={tmp_path / 'hub'}"]))
    with pytest.raises(InputError, match="lineage cannot be read"):
        again.table("lineage")


@pytest.mark.engines
def test_a_folder_without_a_commit_is_no_table(store, tmp_path):
    (tmp_path / "hub" / "lineage" / "_delta_log").mkdir(parents=True)
    assert not store.exists("lineage")


@pytest.mark.engines
def test_a_first_row_without_a_null_forbids_none_later(store, spark):
    full = spark.range(1).selectExpr("'c' as child_id", "'p' as parent_id", "'read' as relation", "'x' as completion_id")
    assert store.insert_new(full, "lineage") == 1
    assert store.insert_new(lineage(spark, ("d", "p", "import", None)), "lineage") == 1
    assert store.table("lineage").where("completion_id is null").count() == 1


@pytest.mark.engines
def test_removed_files_are_gone_after_vacuum(store, spark, tmp_path):
    for name in "abc":
        store.append(lineage(spark, (name, "p", "read", "x")), "lineage")
    store.delete("lineage", "child_id = 'b'")
    store.vacuum("lineage")
    left = {str(path) for path in (tmp_path / "hub" / "lineage").glob("*.parquet")}
    assert left == set(DeltaTable(f"{store.root}/lineage").file_uris())
    assert sorted(row.child_id for row in store.table("lineage").collect()) == ["a", "c"]


@pytest.mark.engines
def test_an_empty_frame_replaces_what_was_written_before(store, spark):
    rows = lineage(spark, ("c", "p", "read", "x"))
    assert store.materialise(rows, "stage.rows").count() == 1
    assert store.materialise(rows.where("child_id = 'z'"), "stage.rows").count() == 0


@pytest.mark.spark
def test_a_commit_of_one_name_is_made_once(store, spark):
    for _ in range(2):
        store.append(lineage(spark, ("c", "p", "read", "x")), "lineage", commit="run/stage/1")
    assert store.table("lineage").count() == 1
    store.append(lineage(spark, ("d", "p", "read", "x")), "lineage", commit="run/stage/2")
    assert store.table("lineage").count() == 2


def test_the_embedded_engine_has_no_catalog_and_says_so(spark):
    if not is_embedded(spark):
        pytest.skip("Spark has one")
    with pytest.raises(ConfigError, match=r"spark\.engine: spark"):
        Store(spark, load(overrides=["catalog=main.hub"]))


@pytest.mark.engines
@pytest.mark.parametrize("name", ["a b", "[v2]", "{a,b}", "*", "?", "50%", "#", "`tick`", "'\"", "é", "%20", "back\\slash"])
def test_a_root_may_have_any_name(spark, tmp_path, name):
    root = tmp_path / name
    store = Store(spark, Config(root=str(root)))
    store.append(lineage(spark, ("c", "p", "read", "x")), "lineage")
    assert (
        store.insert_new(store.materialise(lineage(spark, ("c", "p", "read", "x"), ("d", "p", "read", "x")), "new"), "lineage")
        == 1
    )
    held = store.hold(store.table("lineage"), "rows")
    assert held.count() == 2
    store.release("rows")
    again = Store(spark, Config(root=str(root)))
    again.delete("lineage", "child_id = 'd'")
    assert [row.child_id for row in again.table("lineage").collect()] == ["c"]
    again.drop_all_scratch()
    assert sorted(each.name for each in root.iterdir()) == ["_held", "lineage"]
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_old_files_stay_where_the_library_of_delta_cannot_go(spark, tmp_path):
    store = Store(spark, Config(root=str(tmp_path / "a%20b")))
    store.append(lineage(spark, ("c", "p", "read", "x")), "lineage")
    with pytest.raises(ConfigError, match="rename the folder"):
        store.vacuum("lineage")
