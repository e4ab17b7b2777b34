"""What stands in a hub: three visible rows each."""

from datetime import datetime

import pytest

from personahub import schemas
from personahub.storage import views


@pytest.fixture
def tables(spark):
    """Name -> rows, each a dict of the columns that matter -> the tables; the others are empty."""

    def make(**given):
        def table(name):
            schema = schemas.TABLES[name]
            rows = [tuple(row.get(column) for column in schema.names) for row in given.get(name, [])]
            return spark.createDataFrame(rows, schema)

        return table

    return make


def test_kept_are_the_personas_that_represent_themselves(tables):
    table = tables(
        personas=[{"persona_id": name} for name in "abcdef"],
        duplicates=[{"id": "b", "kind": "persona"}, {"id": "c", "kind": "example"}],
        tombstones=[{"id": "d", "kind": "persona"}, {"id": "a", "kind": "document"}],
        rejects=[{"stage": "dedup", "source_id": "f"}, {"stage": "synthesize", "source_id": "a"}],
    )
    assert sorted(row.persona_id for row in views.kept_personas(table).collect()) == ["a", "c", "e"]


def test_documents_to_ask_are_live_and_have_led_to_nothing(tables):
    table = tables(
        documents=[{"document_id": name} for name in ("d1", "d2", "d3", "d4")],
        lineage=[{"child_id": "p1", "parent_id": "d1", "relation": "read"}],
        rejects=[{"stage": "text-to-persona", "source_id": "d2"}, {"stage": "documents", "source_id": "d3"}],
        tombstones=[{"id": "d4", "kind": "document"}],
    )
    assert [row.document_id for row in views.documents_to_ask(table).collect()] == ["d3"]


def test_valid_examples_are_those_that_nothing_speaks_against(tables):
    table = tables(
        examples=[{"example_id": name} for name in "abcdefg"],
        duplicates=[{"id": "a", "kind": "example"}, {"id": "d", "kind": "persona"}],
        tombstones=[{"id": "b", "kind": "example"}],
        reviews=[
            {"example_id": name, "expert": expert, "verdict": verdict, "created_at": datetime(2026, 1, day)}
            for name, expert, verdict, day in [
                ("c", "ada", "invalid", 1),
                ("d", "ada", "valid", 1),
                ("e", "ada", "invalid", 1),
                ("e", "ada", "valid", 2),  # corrected
                ("f", "ada", "valid", 1),
                ("f", "ada", "invalid", 2),
                ("g", "ada", "valid", 2),
                ("g", "bob", "invalid", 1),
            ]
        ],
    )
    assert sorted(row.example_id for row in views.valid_examples(table).collect()) == ["d", "e"]
