"""What the code relies on, on each engine; what an engine only happens to do stands nowhere in it."""

import json
import threading

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql import functions as F

from personahub import ids, mockserver, schemas
from personahub.config import load
from personahub.inference import RequestBatch, buy
from personahub.inference.windows import WindowLayout
from personahub.stages.synthesize import tasks
from personahub.storage.delta import Store
from personahub.storage.hub import Hub, Silent
from personahub.storage.lease import Lease

pytestmark = pytest.mark.engines


def test_hashes_that_ids_and_samples_are_made_of_are_those_of_spark(spark):
    """xxhash64 and its use in sample numbers: other numbers would be other requests, and bought again."""
    rows = spark.createDataFrame(
        [("a", 1, 2**40, None), ("Ünï 漢字", -7, 0, "x"), ("", 0, -1, "")], "s string, i int, l long, n string"
    )
    one = F.pmod(F.xxhash64("s", F.lit(3)), F.lit(2**31 - 1))
    made = rows.select(F.xxhash64("s"), F.xxhash64("s", "i"), F.xxhash64("l", "n"), F.xxhash64("n"), one).collect()
    assert [tuple(row) for row in made] == EXPECTED


# by Spark 4.2
EXPECTED = [
    (-8582455328737087284, -4810547614043336770, 1821704621099523357, 42, 1208160122),
    (4924427696942296126, -7071420544560390322, -8056391904478692895, -5636050478767222463, 19317793),
    (-7444071767201028348, 5333022629466737987, -4164219292440237606, -7444071767201028348, 1273625837),
]


def test_a_window_that_was_staged_is_read_back_alone(spark, tmp_path):
    store = Store(spark, load(overrides=[f"root={tmp_path / 'hub'}"]))
    rows = spark.range(100).selectExpr(
        "cast(id as string) as completion_id", "cast(id % 5 as int) as window", "cast(id % 2 as int) as slot"
    )
    staged = store.materialise(rows, "s.windows", partition_by=("window", "slot"))
    assert sorted(row.window for row in store.scratch("s.windows", rows.schema).select("window").distinct().collect()) == list(
        range(5)
    )
    for window in range(5):
        read = [row.completion_id for row in store.window("s.windows", rows.schema, window).collect()]
        assert sorted(map(int, read)) == list(range(window, 100, 5))
    assert staged.where("window is null or slot is null").count() == 0


def test_partitions_are_whole_and_nothing_is_promised_of_their_order(spark):
    def told(batches):
        for batch in batches:
            yield pa.RecordBatch.from_pydict({"keys": [json.dumps(batch["key"].to_pylist())]})

    rows = spark.range(2000).selectExpr("cast(id % 40 as int) as key").repartition("key")
    seen = [set(json.loads(row.keys)) for row in rows.mapInArrow(told, "keys string").collect()]
    assert set().union(*seen) == set(range(40))


def test_appends_at_once_are_all_there_once(spark, tmp_path):
    store = Store(spark, load(overrides=[f"root={tmp_path / 'hub'}"]))
    store.create("lineage")

    def append(number):
        row = [(f"c{number}", "p", "read", "x")]
        store.append(spark.createDataFrame(row, schemas.LINEAGE), "lineage", commit=f"test/{number}")

    threads = [threading.Thread(target=append, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(row.child_id for row in store.table("lineage").collect()) == sorted(f"c{number}" for number in range(12))


@pytest.mark.parametrize("journal", ["on", "off"])
def test_forty_windows_at_once_commit_each_answer_once(spark, tmp_path, journal):
    """At an endpoint that answers at once, so that windows end in each other's way."""
    with mockserver.start(port=0, median=0.0, capacity=256) as server:
        overrides = [
            f"root={tmp_path / 'hub'}", f"models.default.base_url={server.base_url}", "models.default.api_key_env=null",
            "models.default.response_format=json_schema", "inference.requests_per_commit=20", f"inference.journal={journal}",
        ]  # fmt: skip
        config = load(overrides=overrides)
        store, prompt = Store(spark, config), tasks.load("math").prompts["zero_shot"]
        rows = [
            ("s", f"p{n}", n, ids.content_id(str(n)), prompt.name, ids.canonical_json({"persona": f"nurse {n}"}))
            for n in range(800)
        ]
        model = config.models["default"]
        batch = RequestBatch("s", "examples", spark.createDataFrame(rows, schemas.REQUESTS), model, {prompt.name: prompt})
        with Lease(tmp_path / "hub", "run") as lease, pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "personahub.inference.purchase.layout_of",
                lambda *_, **__: WindowLayout(windows=40, tasks=1, in_flight=8, max_open=12),
            )
            hub = Hub(spark, store, config, "run", Silent(), lease)
            bought, again = buy(hub, batch), buy(hub, batch)
        assert server.stats()["requests"] == 800
    ledger = store.table("completions")
    assert (bought.calls, again.reused) == (800, 800)
    assert ledger.count() == ledger.select("completion_id").distinct().count() == 800
    assert len(DeltaTable(f"{store.root}/completions").history()) >= 40
