from datetime import datetime

import pytest

from personahub import figures, schemas
from personahub.figures import Run, Spent


@pytest.fixture
def rows(spark):
    """table, rows (each a dict of the columns that matter) -> DataFrame."""

    def make(table, *given):
        schema = schemas.TABLES[table]
        return spark.createDataFrame([tuple(row.get(column) for column in schema.names) for row in given], schema)

    return make


MODEL = {"model": "m", "base_url": "u"}
PLACES = {("m", "u"): 2}


def answer(second, latency, **changes):
    """One that came at this second, after `latency` seconds."""
    tokens = {**MODEL, "prompt_tokens": 100, "completion_tokens": 10, "cost_usd": 0.5}
    return {"created_at": datetime(2026, 1, 1, 0, 0, second), "latency_s": latency} | tokens | changes


def test_utilisation_is_the_busy_share_of_the_places(rows):
    #  0 1 2 3 4 5 6 7 8 s      8 seconds of 2 places, 12 of these 16 busy
    #  [---a---] [---b---]
    #    [-----c-----]  (a place was free for a second before c, and for three after it)
    ledger = rows("completions", answer(4, 4.0), answer(8, 3.0, cost_usd=0.25), answer(6, 5.0))
    assert figures.spent(ledger, rows("embeddings"), PLACES) == Spent({"calls": 3}, 300, 30, 1.25, 12 / 16, {"m at u": 12 / 16})


def test_the_texts_of_one_request_were_busy_once(rows):
    first, second = answer(2, 2.0, completion_tokens=None), answer(4, 2.0, completion_tokens=None)
    found = figures.spent(rows("completions"), rows("embeddings", first, first, first, second), {("m", "u"): 1})
    assert found == Spent({"vectors": 4}, 400, 0, 2.0, 1.0, {"m at u": 1.0})


def test_two_models_count_over_their_own_time(rows):
    other = {"model": "n", "base_url": "u"}
    ledger = rows("completions", answer(4, 4.0), answer(6, 1.0, **other))  # 4 of 2 x 4 s, 1 of 4 x 1 s
    found = figures.spent(ledger, rows("embeddings"), {**PLACES, ("n", "u"): 4})
    assert found.utilisation_by_model == {"m at u": 0.5, "n at u": 0.25}
    assert found.utilisation == 5 / 12


def test_one_unknown_price_makes_the_sum_unknown(rows):
    assert (
        figures.spent(rows("completions", answer(1, 1.0), answer(2, 1.0, cost_usd=None)), rows("embeddings"), PLACES).cost_usd
        is None
    )


def test_nothing_bought_and_nowhere_asked(rows):
    answers, vectors = rows("completions"), rows("embeddings")
    assert figures.spent(answers, vectors, PLACES) == Spent()
    assert (
        figures.spent(answers, rows("embeddings", answer(1, 1.0, base_url="local")), PLACES).utilisation is None
    )  # computed here
    assert (
        figures.spent(rows("completions", answer(1, 0.0)), vectors, PLACES).utilisation is None
    )  # no connection: it took no time


def row(stage, second, utilisation=None, **changes):
    same = {"run_id": "20260101T000000-abcd1234", "counts": {"calls": 2}, "cost_usd": 1.5, "seconds": 2.0, "status": "done"}
    return same | {"stage": stage, "created_at": datetime(2026, 1, 1, 0, 0, second), "utilisation": utilisation} | changes


def test_the_newest_come_first(rows):
    table = rows("runs", row("documents", 1), row("synthesize", 3, 0.5, prompt_tokens=7, counts=None), row("dedup", 2))
    assert figures.runs(table, 2) == (
        Run("20260101T000000-abcd1234", "synthesize", {}, 7, 0, 1.5, 2.0, 0.5, "done", datetime(2026, 1, 1, 0, 0, 3)),
        Run("20260101T000000-abcd1234", "dedup", {"calls": 2}, 0, 0, 1.5, 2.0, None, "done", datetime(2026, 1, 1, 0, 0, 2)),
    )
