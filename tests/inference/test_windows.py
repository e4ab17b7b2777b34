"""The shape of what is bought, and the one plan that spends."""

import threading
import time
from types import SimpleNamespace

import pytest

from personahub.config import Model, SemanticDedup, load
from personahub.embeddings.pending import VectorBatch, find_pending_texts
from personahub.ids import content_id
from personahub.inference import executor, windows
from personahub.inference.chat_work import Chats
from personahub.inference.pending import RequestBatch, find_pending
from personahub.inference.vector_work import Vectors
from personahub.inference.windows import Staged, WindowLayout, layout_of, write_windows
from personahub.llm.dialects import Dialect
from personahub.llm.governor import Governor
from personahub.llm.types import Counts, EndpointLimits, EndpointReport, Limits, Report
from personahub.stages.synthesize import tasks
from personahub.storage.delta import Store


@pytest.fixture
def config(tmp_path):
    return load(overrides=[f"root={tmp_path / 'hub'}", "inference.tasks_per_window=2"])


@pytest.mark.parametrize(
    ("calls", "shape"),
    [
        (99, WindowLayout(1, 1, 1, 1)),  # not worth two tasks
        (900, WindowLayout(1, 8, 1, 1)),  # one window takes the room of four
        (2_500, WindowLayout(2, 4, 2, 2)),
        (12_000, WindowLayout(12, 2, 4, 6)),
        (1_999_000, WindowLayout(1999, 2, 4, 6)),
        (50_000_000, WindowLayout(2000, 2, 4, 6)),  # larger windows, not more of them
    ],
)
def test_without_a_journal_windows_stay_small_up_to_a_number(spark, config, calls, shape):
    work = Chats(Dialect("none"), {})
    assert layout_of(Store(spark, config), config, calls, config.models["default"], work, journaled=False) == shape


def test_with_a_journal_windows_grow_with_the_stage_for_a_kill_costs_what_is_in_flight(spark, config):
    def windows_of(calls):
        store, model = Store(spark, config), config.models["default"]
        return layout_of(store, config, calls, model, Chats(Dialect("none"), {}), journaled=True).windows

    assert [windows_of(calls) for calls in (900, 12_000, 100_000, 1_000_000, 10_000_000)] == [1, 8, 20, 63, 625]
    assert windows_of(100_000_000) == windows.MAX_WINDOWS


def order_of(spark, config, count):
    rows = [("s", f"id{n % 50}", n, content_id(str(n)), "math", f'{{"persona":"nurse {n}"}}') for n in range(count)]
    columns = "stage string, source_id string, sample_index int, completion_id string, prompt_name string, variables string"
    return RequestBatch(
        "s",
        "examples",
        spark.createDataFrame(rows, columns),
        config.models["default"],
        {"math": tasks.load("math").prompts["zero_shot"]},
    )


@pytest.mark.spark
def test_each_staged_file_is_one_task_and_no_exchange_stands_by_the_paid_step(spark, config):
    store, shape = Store(spark, config), WindowLayout(windows=2, tasks=4, in_flight=2, max_open=2)
    order = order_of(spark, config, 400)
    staged = write_windows(store, "s.windows", find_pending(store, order).rows, "completion_id", shape)
    plan = executor.TaskPlan(
        "s",
        "examples",
        "run",
        order.model,
        (executor.PoolMember(order.model, Chats(Dialect("none"), dict(order.prompts))),),
        Limits((EndpointLimits(1),)),
    )
    with store.one_file_per_task():
        for number in range(2):
            window = store.window(staged.name, staged.schema, number)
            executed = executor.answer(window, plan, 0)._jdf.queryExecution().executedPlan().toString()
            assert "MapInArrow" in executed
            assert "Exchange" not in executed
            tasks = window.selectExpr("input_file_name() as slot", "spark_partition_id() as task").distinct().collect()
            assert len(tasks) == len({row.slot for row in tasks}) == len({row.task for row in tasks}) == 4
    everything = store.scratch(staged.name, staged.schema)
    assert everything.count() == everything.select("completion_id").distinct().count() == 400


@pytest.mark.spark
def test_vectors_are_asked_for_in_windows_that_fill_all_places_and_by_no_exchange_either(spark, config):
    store, model, work = Store(spark, config), Model(max_concurrent_requests=8), Vectors("base64", 256, 300_000)
    assert [layout_of(store, config, texts, model, work, journaled=True) for texts in (1000, 4000, 1_000_000)] == [
        WindowLayout(1, 1, 1, 1),
        WindowLayout(1, 4, 1, 1),
        WindowLayout(488, 2, 4, 6),  # of 2,048 texts, not of 1,000
    ]
    texts = spark.createDataFrame([(content_id(str(n)), f"text {n}") for n in range(40)], "text_id string, text string")
    missing = find_pending_texts(store, VectorBatch("dedup", "vectors", texts, model, SemanticDedup(texts_per_request=5)))
    assert (missing.texts, missing.reused, missing.largest_request) == (40, 0, 5 * 4)
    shape = WindowLayout(windows=2, tasks=2, in_flight=2, max_open=2)
    staged = write_windows(store, "dedup.windows", missing.rows, "text_id", shape)
    plan = executor.TaskPlan("dedup", "vectors", "run", model, (executor.PoolMember(model, work),), Limits((EndpointLimits(1),)))
    with store.one_file_per_task():
        window = store.window(staged.name, staged.schema, 0)
        executed = executor.answer(window, plan, 0)._jdf.queryExecution().executedPlan().toString()
    assert "MapInArrow" in executed
    assert "Exchange" not in executed
    assert store.scratch(staged.name, staged.schema).count() == 40


def test_only_what_the_ledger_does_not_answer_is_missing(spark, config):
    store = Store(spark, config)
    order = order_of(spark, config, 6)
    store.create("completions")
    known = order.requests.limit(4).selectExpr("completion_id", "stage", "source_id", "sample_index", "true as final")
    failed = order.requests.exceptAll(order.requests.limit(5)).selectExpr(
        "completion_id", "stage", "source_id", "sample_index", "false as final"
    )
    rows = known.unionByName(failed)
    for name in store.table("completions").columns:
        if name not in rows.columns:
            rows = rows.selectExpr("*", f"null as {name}")
    store.append(rows, "completions")
    twice = RequestBatch("s", "examples", order.requests.unionByName(order.requests), order.model, order.prompts)
    missing = find_pending(store, twice)
    assert (missing.calls, missing.reused) == (2, 4)


class Rows:
    """What a staged window is to run_windows: something that the paid step is laid over."""

    def __init__(self, window):
        self.window = window

    def mapInArrow(self, *_):  # noqa: N802  Spark's name
        return self


class Tables:
    """A store whose appends end when they are told to."""

    def __init__(self, windows):
        self.windows, self.opened, self.end = windows, [], threading.Event()

    def scratch(self, *_):
        return self

    def select(self, *_):
        return self

    def distinct(self):
        return self

    def collect(self):
        return [Rows(number) for number in range(self.windows)]

    def window(self, name, schema, number):
        return Rows(number)

    def append(self, rows, name, commit):
        self.opened.append(rows.window)
        self.end.wait()


@pytest.mark.parametrize(("journal", "wants", "opened"), [("journal", 1, 3), ("journal", 8, 2), (None, 1, 2)])
def test_one_more_window_is_opened_where_the_open_ones_leave_places_empty(tmp_path, monkeypatch, journal, wants, opened):
    monkeypatch.setattr(windows, "OPENING_SECONDS", 0.0)
    governor = Governor(Limits((EndpointLimits(4),)), total=5)
    governor.report(Report("0/0", 0, wants, (EndpointReport(1, Counts(started=2, settled=1, answered=1)),)))
    tables, lease = Tables(5), SimpleNamespace(lost=None)
    plan = executor.TaskPlan(
        "s",
        "examples",
        "run",
        None,
        (executor.PoolMember(None, Chats(Dialect("none"), {})),),
        Limits((EndpointLimits(1),)),
        journal_folder=journal and str(tmp_path),
    )
    running = threading.Thread(
        target=windows.run_windows,
        args=(SimpleNamespace(store=tables, lease=lease), plan, Staged("staged", None), WindowLayout(5, 1, 2, 3), governor),
    )
    running.start()
    time.sleep(1.2)
    seen = len(tables.opened)
    tables.end.set()
    running.join()
    assert (seen, sorted(tables.opened)) == (opened, [0, 1, 2, 3, 4])
