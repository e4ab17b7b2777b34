import dataclasses
from datetime import datetime

import pytest

from personahub import figures, schemas
from personahub.figures import Ledger, Reject


@pytest.fixture
def tables(spark):
    """name, rows (each a dict of the columns that matter) -> all tables, the others empty."""

    def make(**given):
        return {
            name: spark.createDataFrame(
                [tuple(row.get(column) for column in schema.names) for row in given.get(name, [])], schema
            )
            for name, schema in schemas.TABLES.items()
        }.__getitem__

    return make


def call(completion_id, final, kind=None, *, stage="text-to-persona", purpose="personas", second=0, cost=0.5, tries=1):
    return {
        "completion_id": completion_id,
        "stage": stage,
        "purpose": purpose,
        "final": final,
        "error_kind": kind,
        "prompt_tokens": 100,
        "cached_tokens": 40,
        "completion_tokens": 10,
        "tokens_estimated": kind == "timeout",
        "cost_usd": cost,
        "attempts": tries,
        "created_at": datetime(2026, 1, 1, 0, 0, second),
    }


def test_an_empty_hub(tables):
    status = figures.status(tables())
    assert (status.documents, status.refused, status.personas, status.kept, status.examples) == (0, 0, 0, 0, 0)
    assert (status.missing, status.cost_usd) == (0, 0)
    assert status.rejects == status.stages == ()


def test_the_funnel(tables):
    status = figures.status(
        tables(
            documents=[{"document_id": one} for one in ("d1", "d2", "d3")],
            personas=[{"persona_id": f"p{n}", "hop": int(n == 3)} for n in (1, 2, 3, 4)],
            lineage=[
                {"child_id": "p1", "parent_id": "d1", "relation": "read"},
                {"child_id": "p2", "parent_id": "d1", "relation": "write"},
                {"child_id": "p3", "parent_id": "p1", "relation": "colleague"},
            ],
            duplicates=[{"id": "p2", "kind": "persona", "method": "exact"}, {"id": "e9", "kind": "example", "method": "exact"}],
            tombstones=[{"id": "p2", "kind": "persona"}],  # taken down and a duplicate: gone once
            examples=[
                {"example_id": "e1", "task": "math", "persona_id": "p1"},
                {"example_id": "e2", "task": "math", "persona_id": "p2"},
            ],
            rejects=[
                {"stage": "documents", "reason": "too_short", "source_id": "x1"},
                {"stage": "documents", "reason": "too_short", "source_id": "x2"},
                {"stage": "documents", "reason": "corrupt_file", "source_id": "x2"},
                {"stage": "text-to-persona", "reason": "refusal", "source_id": "d2"},
                {"stage": "dedup", "reason": "too_long", "source_id": "p4"},
            ],
        ),
        ("documents", "text-to-persona", "dedup"),
    )
    assert (status.documents, status.refused) == (3, 2)
    assert (status.personas, status.kept, status.personas_by_hop) == (4, 2, {0: 3, 1: 1})  # p4 could not be compared
    assert status.duplicates_by_method == {"exact": 1}
    assert (status.examples, status.examples_by_task) == (2, {"math": 2})
    assert status.rejects == (
        Reject("documents", "too_short", 2),
        Reject("documents", "corrupt_file", 1),
        Reject("text-to-persona", "refusal", 1),
        Reject("dedup", "too_long", 1),
    )


def day(number):
    return datetime(2026, 1, number)


def test_the_ledger_counts_requests_and_sums_all_their_rows(tables):
    status = figures.status(
        tables(
            completions=[
                call("answered at once", True),
                call("answered later", False, "timeout", second=1, tries=9),
                call("answered later", True, second=2),
                call("refused", True, "refused"),
                call("missing", False, "timeout", second=1),
                call("missing", False, "server", second=2),
                call("json_schema", False, "bad_request", stage="probe", purpose="text-to-persona"),
                call("json_object", True, stage="probe", purpose="text-to-persona"),
            ],
            runs=[
                {"stage": "text-to-persona", "seconds": 2.5, "status": "Interrupted", "created_at": day(1), "utilisation": 0.75},
                {"stage": "text-to-persona", "seconds": 1.5, "status": "done", "created_at": day(2)},  # it bought nothing
            ],
        )
    )
    probe, stage = status.stages  # in this order where none is told
    personas = Ledger(
        "text-to-persona",
        answered=2,
        not_answered={"refused": 1},
        missing=1,
        missing_because={"server": 1},
        attempts=14,
        prompt_tokens=600,
        cached_tokens=240,
        completion_tokens=60,
        estimated=2,
        cost_usd=3.0,
    )
    assert dataclasses.replace(stage, seconds=0.0, status=None, utilisation=None, purposes={}) == dataclasses.replace(
        personas, purposes={}
    )
    assert (probe.answered, probe.missing, probe.attempts) == (1, 0, 2)  # a format found wanting is not asked for again
    assert (stage.answered, stage.attempts, stage.cost_usd) == (2, 14, 3.0)
    assert (stage.seconds, stage.status, stage.utilisation) == (4.0, "done", 0.75)
    assert (status.missing, status.cost_usd) == (1, 4.0)


def vector(text_id, final, kind=None, *, base_url="https://llm.example.com/v1"):
    row = call(None, final, kind, cost=0.25)
    return row | {"stage": "synthesize", "purpose": "topic similarity", "text_id": text_id, "model": "e", "base_url": base_url}


def test_vectors_are_booked_where_they_were_asked_for(tables):
    rows = [vector("p1", True), vector("p2", False, "timeout"), vector("p3", True, "bad_request")]
    [stage] = figures.status(tables(embeddings=[*rows, vector("p4", True, base_url="local")])).stages
    assert (stage.stage, stage.answered, stage.missing, stage.not_answered) == ("synthesize", 1, 1, {"bad_request": 1})
    assert (stage.prompt_tokens, stage.completion_tokens, stage.cost_usd) == (300, 0, 0.75)


def test_one_unknown_price_makes_the_sum_unknown(tables):
    status = figures.status(
        tables(completions=[call("a", True), call("b", True, cost=None), call("c", True, stage="synthesize", purpose="examples")])
    )
    assert [stage.cost_usd for stage in status.stages] == [0.5, None]
    assert status.cost_usd is None
