import json
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from personahub import ids
from personahub.errors import ConfigError, InputError
from personahub.stages.synthesize import few_shot
from personahub.stages.synthesize.few_shot import Example

ROWS = [
    {"text": " Which lamp is lit last? ", "persona": "A lamplighter.", "task": "logic"},
    {"conversation": [{"role": "user", "content": "Plan my week."}, {"role": "assistant", "content": "Gladly."}]},
    {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Explain tides."}]},
]
EXAMPLES = [Example("Which lamp is lit last?", "logic", "A lamplighter."), Example("Plan my week."), Example("Explain tides.")]


def lines(path, *rows):
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    return str(path)


def test_examples_are_texts_or_the_first_user_turns_of_conversations(tmp_path):
    assert list(few_shot.read(lines(tmp_path / "examples.jsonl", *ROWS), [])) == EXAMPLES


def test_the_vector_of_an_examples_persona_is_that_of_the_hubs_persona():
    assert Example("x", persona="A  Lamplighter.").about_id == ids.persona_id("a lamplighter.")
    assert Example("Which lamp?").about_id == ids.content_id("Which lamp?")


@pytest.mark.parametrize("name", ["examples.parquet", "EXAMPLES.PARQUET", "examples.pq", "examples"])
def test_they_are_read_from_parquet_too(tmp_path, name):
    path = tmp_path / name
    pq.write_table(pa.Table.from_pylist(ROWS[1:2]), path)
    assert list(few_shot.read(str(path), [])) == EXAMPLES[1:2]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no examples"),
        ([{"text": ""}, {"text": " "}], "row 1: there is no `text`, and no user turn"),
        ([{"messages": [{"role": "assistant", "content": "Hi"}]}], "row 1: there is no `text`"),
        ([["a"]], "row 1: not a JSON object"),
    ],
)
def test_what_is_no_example_is_named_by_its_row(tmp_path, rows, message):
    with pytest.raises(InputError, match=message):
        few_shot.read_pool(lines(tmp_path / "examples.jsonl", *rows), 10, 1)


def test_a_row_without_an_example_is_passed_over_and_counted(tmp_path):
    passed_over = []
    file = lines(tmp_path / "examples.jsonl", {"text": "a"}, {"conversation": [{"role": "user", "content": ""}]}, {"text": "b"})
    assert sorted(one.text for one in few_shot.read_pool(file, 10, 1, passed_over)) == ["a", "b"]
    assert passed_over == ["row 2: there is no `text`, and no user turn in `conversation` or `messages`"]


def test_a_file_that_is_not_there_or_no_json(tmp_path):
    with pytest.raises(InputError, match="there is no file /nowhere"):
        few_shot.read_pool("/nowhere", 10, 1)
    (tmp_path / "broken.jsonl").write_text("{")
    with pytest.raises(InputError, match="row 1: unexpected end"):
        few_shot.read_pool(str(tmp_path / "broken.jsonl"), 10, 1)


def test_a_task_is_shown_its_own_examples_and_those_of_none():
    assert few_shot.examples_for(EXAMPLES, "logic", 3).examples == EXAMPLES
    assert few_shot.examples_for(EXAMPLES, "math", 2).examples == EXAMPLES[1:]
    with pytest.raises(ConfigError, match="3 examples of math are asked for, 2 are there"):
        few_shot.examples_for(EXAMPLES, "math", 3)


def test_a_pool_is_drawn_from_the_whole_file_by_the_seed(tmp_path):
    file = lines(tmp_path / "many.jsonl", *({"text": f"What is {number}?"} for number in range(2_000)))
    drawn = few_shot.read_pool(file, 100, 1)
    assert drawn == few_shot.read_pool(file, 200, 1)[:100] == few_shot.read_pool(file, 100, 1)
    assert drawn != few_shot.read_pool(file, 100, 2)
    assert len({one.text for one in drawn}) == 100
    assert 30 < sum(int(one.text.split()[-1][:-1]) >= 1_000 for one in drawn) < 70


def test_an_example_that_stands_twice_is_one(tmp_path):
    file = lines(tmp_path / "twice.jsonl", *({"text": f"What is {number % 5}?"} for number in range(100)))
    assert len(few_shot.read_pool(file, 3, 1)) == 3
    assert sorted(one.text for one in few_shot.read_pool(file, 50, 1)) == [f"What is {number}?" for number in range(5)]


def person(name, persona="A diver.", **more):
    return {"persona_id": name, "persona": persona, **more}


def test_a_draw_hangs_on_the_persona_the_task_and_the_seed_alone():
    pool = few_shot.ExamplePool([Example(str(number)) for number in range(20)])
    first = few_shot.draw(pool, 3, 1, person("p1"), "math")
    assert few_shot.draw(pool, 3, 1, person("p1"), "math") == first
    assert len({one.text for one in first}) == 3
    others = [
        few_shot.draw(pool, 3, seed, person(name), task)
        for seed, name, task in ((2, "p1", "math"), (1, "p2", "math"), (1, "p1", "logic"))
    ]
    assert first not in others


def test_draws_are_uniform():
    pool = few_shot.ExamplePool([Example(str(number)) for number in range(10)])
    drawn = Counter(one.text for number in range(4_000) for one in few_shot.draw(pool, 2, 1, person(f"p{number}"), "math"))
    assert all(700 < drawn[one.text] < 900 for one in pool.examples)


def test_an_example_that_goes_changes_only_the_draws_that_showed_it():
    examples = [Example(str(number)) for number in range(20)]
    before, after = few_shot.ExamplePool(examples), few_shot.ExamplePool(examples[1:])
    changed = 0
    for number in range(300):
        shown = few_shot.draw(before, 3, 1, person(f"p{number}"), "math")
        then = few_shot.draw(after, 3, 1, person(f"p{number}"), "math")
        assert [one for one in shown if one is not examples[0]] == then[: 3 - (examples[0] in shown)]
        changed += shown != then
    assert 20 < changed < 80


def test_what_was_written_with_the_same_persona_is_shown_last():
    pool = few_shot.ExamplePool([Example("own", persona="A diver."), Example("a", persona="A smith."), Example("b")])
    for number in range(20):
        assert {one.text for one in few_shot.draw(pool, 2, 1, person(f"p{number}"), "math")} == {"a", "b"}
    assert few_shot.draw(pool, 3, 1, person("p1"), "math")[2].text == "own"


def test_a_vector_draws_what_is_nearest_and_none_draws_at_random():
    near, far, none = Example("near", vector=[3.0, 0.1]), Example("far", vector=[-1.0, 0.0]), Example("none")
    pool = few_shot.ExamplePool([far, none, near])
    drawn = [few_shot.draw(pool, 3, 1, person(f"p{number}", vector=[0.2, 0.0]), "math") for number in range(10)]
    assert all(each == [near, none, far] for each in drawn)
    drawn = [few_shot.draw(pool, 1, 1, person(f"p{number}", vector=None), "math")[0] for number in range(30)]
    assert {one.text for one in drawn} == {"near", "far", "none"}
