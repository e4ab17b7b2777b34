import pytest

from personahub import figures
from personahub.figures import ExampleSample, PersonaSample, RefusedSample


@pytest.fixture(scope="module")
def tables(spark):
    found = {
        "documents": spark.createDataFrame(
            [("d1", "A tide table. " * 100), ("d2", "A recipe.")], "document_id string, text string"
        ),
        "personas": spark.createDataFrame(
            [("p1", "A sailor", 0), ("p2", "A cook", 0), ("p3", "A pilot", 0), ("p4", "The sailor's niece", 1)],
            "persona_id string, persona string, hop int",
        ),
        "lineage": spark.createDataFrame(
            [
                ("p1", "d1", "read"),
                ("p3", "d1", "like"),
                ("p2", "d2", "write"),
                ("p4", "p1", "family"),
                ("p3", "list/7", "import"),
            ],
            "child_id string, parent_id string, relation string",
        ),
        "examples": spark.createDataFrame(
            [
                ("e2", "math", "p2", '{"problem": "How many eggs?"}'),
                ("e3", "math", "p1", '{"problem": "How many knots?"}'),
                ("e1", "logic", "p1", "not JSON"),
            ],
            "example_id string, task string, persona_id string, content string",
        ),
        "rejects": spark.createDataFrame(
            [
                ("r2", "documents", None, "too_short", None, "Moved."),
                ("r4", "text-to-persona", "c1", "too_short", "1 words < 3", "Anna"),
                ("r3", "text-to-persona", "c2", "too_short", "2 words < 3", "A cook"),
                ("r1", "synthesize", "c3", "truncated", None, '{"pro'),
            ],
            "reject_id string, stage string, completion_id string, reason string, detail string, raw string",
        ),
    }
    return found.__getitem__


def test_personas_come_with_their_text_one_for_each_document(tables):
    assert figures.samples(tables).personas == (
        PersonaSample("A sailor", "read", "d1", ("A tide table. " * 100)[:600]),
        PersonaSample("A cook", "write", "d2", "A recipe."),
        PersonaSample("A pilot", "import", "list/7", None),  # imported: there is no text
    )


def test_one_example_of_each_task_comes_with_its_persona(tables):
    assert figures.samples(tables).examples == (
        ExampleSample("logic", "A sailor", "not JSON"),
        ExampleSample("math", "A cook", {"problem": "How many eggs?"}),
    )


def test_no_more_than_asked_for(tables):
    few = figures.samples(tables, n=1)
    assert (len(few.personas), len(few.examples)) == (1, 2)


def test_refused_answers_one_for_each_stage_and_reason(tables):
    assert figures.refused(tables) == (
        RefusedSample("synthesize", "truncated", None, '{"pro'),
        RefusedSample("text-to-persona", "too_short", "2 words < 3", "A cook"),
    )
    assert len(figures.refused(tables, n=1)) == 1
