import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personahub import ids, schemas
from personahub.config import Config, Synthesis
from personahub.errors import ConfigError
from personahub.llm.json_answers import Reading
from personahub.stages.synthesize import results, tasks, transform

NURSE = "A night-shift nurse who keeps a tally of every infusion pump on the ward."
PROBLEM = "A ward has 14 pumps. Each night two fail and one is repaired. After how many nights are only 5 left?"
MATH = tasks.load("math")


def parse(text, error_kind=None):
    return transform.parse_answer(MATH, "zero_shot", text, error_kind, error_kind, {"persona": NURSE})


def test_an_answer_becomes_canonical_json_by_the_schema():
    assert parse(f'```json\n{{ "problem": "  {PROBLEM}\\n" }}\n```') == Reading(ids.canonical_json({"problem": PROBLEM}))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "empty"),
        ("no json here", "invalid"),
        ('{"problem": 7}', "invalid"),
        ('{"problem": "What is 2 + 2 in base 3?", "answer": "11"}', "invalid"),
        ('{"problem": " "}', "no_question"),  # by a check of the task
        (json.dumps({"problem": NURSE}), "copied_persona"),
    ],
)
def test_what_is_refused_and_why(text, reason):
    item = parse(text)
    assert (item.reason, item.value) == (reason, None)


@pytest.mark.parametrize("kind", ["refused", "truncated", "content_filter", "bad_request"])
def test_a_completion_that_is_no_answer_is_a_reject_with_its_kind(kind):
    assert parse("half an answ", kind).reason == kind


@given(st.none() | st.text() | st.text().map(lambda problem: json.dumps({"problem": problem})))
def test_any_completion_is_an_example_or_a_reject(text):
    item = parse(text)
    assert (item.reason is None) != (item.value is None)
    if item.value is not None:
        assert list(json.loads(item.value.encode())) == [MATH.text_field]


def test_an_unknown_task_is_refused_at_once():
    config = Config(synthesis=Synthesis(tasks=("maths",)))
    for call in (lambda: transform.build(None, config), lambda: transform.prompts_of(config)):
        with pytest.raises(ConfigError, match=r"there is no task 'maths'; did you mean math\?"):
            call()


def test_what_the_prompt_showed_is_known_to_the_checks():
    made = transform.parse_answer(
        MATH, "few_shot", json.dumps({"problem": PROBLEM}), None, None, {"persona": NURSE, "examples": [PROBLEM]}
    )
    assert made.reason == "copied_example"


def personas(spark, *names):
    return spark.createDataFrame([(name, f"{NURSE} Ward {name}.", 0, "en") for name in names], schemas.PERSONAS)


def test_from_personas_to_examples_and_rejects(spark):
    config = Config(synthesis=Synthesis(tasks=("math", "math")))
    requests = transform.build(personas(spark, "a", "b", "c"), config)
    assert requests.schema == schemas.REQUESTS
    rows = {row.source_id: row for row in requests.collect()}
    assert len(rows) == requests.count() == 3  # a task named twice is asked once
    assert {(row.stage, row.sample_index, row.prompt_name) for row in rows.values()} == {
        ("synthesize", MATH.sample_index("zero_shot"), "math")
    }
    assert json.loads(rows["a"].variables) == {"persona": f"{NURSE} Ward a."}

    def completion(source, text, kind, final):
        name = rows[source].completion_id
        told = {
            "completion_id": name,
            "model": "mock-7b",
            "text": text,
            "final": final,
            "error_kind": kind,
            "error_message": kind,
        }
        return tuple({**dict.fromkeys(schemas.COMPLETIONS.names), **told, "run_id": "r"}.values())

    ledger = spark.createDataFrame(
        [
            completion("a", json.dumps({"problem": PROBLEM}), None, True),
            completion("b", "y" * 5000, None, True),
            completion("c", None, "timeout", False),
        ],
        schemas.COMPLETIONS,
    )
    parsed = transform.parse(requests, ledger, config)
    assert parsed.schema == results.PARSED
    examples, rejects = results.split(parsed, "run-1")
    (example,), (refused,) = examples.collect(), rejects.collect()
    assert [field.name for field in examples.schema] == schemas.EXAMPLES.names
    assert example.asDict() == {
        "example_id": ids.content_id(ids.canonical_json(["math", "zero_shot", "a", rows["a"].completion_id])),
        "task": "math",
        "mode": "zero_shot",
        "settings": "{}",
        "persona_id": "a",
        "content": ids.canonical_json({"problem": PROBLEM}),
        "topic_similarity": None,
        "completion_id": rows["a"].completion_id,
        "model": "mock-7b",
        "run_id": "run-1",
        "synthetic": True,
    }
    assert [field.name for field in rejects.schema] == schemas.REJECTS.names
    assert (refused.source_id, refused.reason, len(refused.raw), refused.run_id) == ("b", "invalid", 2000, "run-1")


@pytest.fixture
def examples(tmp_path):
    path = tmp_path / "examples.jsonl"
    rows = [{"text": f"How many tides does mill {number} need?", "persona": f"Miller {number}."} for number in range(9)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize("mode", ["few_shot", "persona_few_shot"])
def test_examples_are_drawn_for_each_persona_and_stand_in_the_request(spark, examples, mode):
    settings = Synthesis(tasks=("math", {"name": "math", "topic": "tides"}), mode=mode, few_shot={"file": examples, "n": 2})
    config = Config(synthesis=settings)
    rows = transform.build(personas(spark, "a", "b", "c"), config).collect()
    prompts_ = transform.prompts_of(config)
    assert len(rows) == 6
    assert {row.prompt_name for row in rows} == prompts_.keys()
    assert len({(row.source_id, row.sample_index) for row in rows}) == len({row.completion_id for row in rows}) == 6
    drawn = set()
    for row in rows:
        variables = json.loads(row.variables)
        assert len(variables["examples"]) == 2
        drawn.add(tuple(variables["examples"]))
        assert ("example_personas" in variables) == (mode == "persona_few_shot")
        user = prompts_[row.prompt_name].render(variables)[1]["content"]
        assert all(text in user for text in variables["examples"])
        assert user.endswith(f"{NURSE} Ward {row.source_id}.\n" + user.rpartition("\n")[2])
    assert len(drawn) > 1
    assert [row.completion_id for row in transform.build(personas(spark, "a", "b", "c"), config).collect()] == [
        row.completion_id for row in rows
    ]


def test_a_mode_with_examples_needs_some(spark, examples):
    for settings, message in (
        (
            Synthesis(mode="few_shot", few_shot={"file": examples, "n": 10}),
            "10 examples of math are asked for, 9 are there",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            transform.build(personas(spark, "a"), Config(synthesis=settings))
