import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personahub import ids, schemas, synthesis
from personahub.config import Config, Synthesis
from personahub.errors import ConfigError
from personahub.synthesis.tasks import SAMPLES, TASKS, task_of

NURSE = "A night-shift nurse who keeps a tally of every infusion pump on the ward."
PROBLEM = "A ward has 14 pumps. Each night two fail and one is repaired. After how many nights are only 5 left?"
MATH = TASKS["math"]


def parse(text, error_kind=None):
    return synthesis.parse_answer(MATH, text, error_kind, error_kind, {"persona": NURSE})


def test_an_answer_becomes_canonical_json_by_the_schema():
    assert parse(f'```json\n{{ "problem": "  {PROBLEM}\\n" }}\n```') == synthesis.Item(
        content=ids.canonical_json({"problem": PROBLEM})
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "empty"),
        ("no json here", "invalid"),
        ('{"problem": 7}', "invalid"),
        ('{"problem": "What is 2 + 2 in base 3?", "answer": "11"}', "invalid"),
        ('{"problem": " "}', "no_question"),
        ('{"problem": "I am sorry, but I cannot help with that. What else may I do?"}', "refusal"),
        ('{"problem": "A ward has 14 pumps and two of them fail each night."}', "no_question"),
        (json.dumps({"problem": NURSE}), "copied_persona"),
        (json.dumps({"problem": f"{PROBLEM}\n\nAnswer: 9"}), "leaked_answer"),
        (json.dumps({"problem": f"{PROBLEM}\n**Solution:** each night one more is lost."}), "leaked_answer"),
        (json.dumps({"problem": f"{PROBLEM} $\\boxed{{9}}$"}), "leaked_answer"),
    ],
)
def test_what_is_refused_and_why(text, reason):
    item = parse(text)
    assert (item.reason, item.content, item.raw) == (reason, None, text)


@pytest.mark.parametrize(
    "problem",
    [
        PROBLEM,
        f"{NURSE} {PROBLEM}",
        "Prove that the number of pumps on the ward is never divisible by seven.",
        "Find the answer set of the inequality 3x + 1 < 14 for whole numbers of pumps.",
        "一个病房有14台泵，每晚坏两台，修好一台。几晚之后只剩下5台？",
    ],
)
def test_what_is_a_question(problem):
    assert parse(json.dumps({"problem": problem})).reason is None


@pytest.mark.parametrize("kind", ["refused", "truncated", "content_filter", "bad_request"])
def test_a_completion_that_is_no_answer_is_a_reject_with_its_kind(kind):
    assert parse("half an answ", kind).reason == kind


@given(st.none() | st.text() | st.text().map(lambda problem: json.dumps({"problem": problem})))
def test_any_completion_is_an_example_or_a_reject(text):
    item = parse(text)
    assert (item.reason is None) != (item.content is None)
    if item.content is not None:
        assert list(json.loads(item.content.encode())) == [MATH.text_field]


def test_each_task_has_a_number_and_a_name_of_its_own():
    assert len({task.number for task in TASKS.values()}) == len(TASKS)
    for name, task in TASKS.items():
        assert task.name == name
        assert task_of(task.sample_index) is task is task_of(task.sample_index + SAMPLES - 1)
    assert TASKS["math"].number == 0  # ids hang on it


def test_an_unknown_task_is_refused_at_once():
    config = Config(synthesis=Synthesis(tasks=("maths",)))
    for call in (lambda: synthesis.build(None, config), lambda: synthesis.prompts_of(config)):
        with pytest.raises(ConfigError, match=r"synthesis.tasks names the unknown task 'maths'; did you mean math\?"):
            call()


def personas(spark, *names):
    return spark.createDataFrame([(name, f"{NURSE} Ward {name}.", 0, "en") for name in names], schemas.PERSONAS)


def test_from_personas_to_examples_and_rejects(spark):
    config = Config(synthesis=Synthesis(tasks=("math", "math")))
    requests = synthesis.build(personas(spark, "a", "b", "c"), config)
    assert requests.schema == schemas.REQUESTS
    rows = {row.source_id: row for row in requests.collect()}
    assert len(rows) == requests.count() == 3  # a task named twice is asked once
    assert {(row.stage, row.sample_index, row.prompt_name) for row in rows.values()} == {("synthesize", 0, "math")}
    assert json.loads(rows["a"].variables) == {"persona": f"{NURSE} Ward a."}

    def completion(source, text, kind, final):
        name = rows[source].completion_id
        return (name, "s", "x", 0, "mock-7b", "u", "math", "1", text, "stop", final, kind, kind, 1, 1, None, 0.1, 1, "r", None)

    ledger = spark.createDataFrame(
        [
            completion("a", json.dumps({"problem": PROBLEM}), None, True),
            completion("b", "y" * 5000, None, True),
            completion("c", None, "timeout", False),
        ],
        schemas.COMPLETIONS,
    )
    parsed = synthesis.parse(requests, ledger, config, "run-1")
    assert parsed.schema == synthesis.PARSED
    examples, rejects = synthesis.split(parsed, "run-1")
    (example,), (refused,) = examples.collect(), rejects.collect()
    assert [field.name for field in examples.schema] == schemas.EXAMPLES.names
    assert example.asDict() == {
        "example_id": ids.content_id(ids.canonical_json(["math", "zero_shot", "a", rows["a"].completion_id])),
        "task": "math",
        "mode": "zero_shot",
        "persona_id": "a",
        "content": ids.canonical_json({"problem": PROBLEM}),
        "completion_id": rows["a"].completion_id,
        "model": "mock-7b",
        "run_id": "run-1",
        "synthetic": True,
    }
    assert [field.name for field in rejects.schema] == schemas.REJECTS.names
    assert (refused.source_id, refused.reason, len(refused.raw), refused.run_id) == ("b", "invalid", 2000, "run-1")
