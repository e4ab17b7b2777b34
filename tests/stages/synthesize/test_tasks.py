"""The tasks that there are, and one's own. Golden files as in tests/prompts: PERSONAHUB_WRITE_GOLDEN=1 pytest."""

import json
import os
import pickle
from collections import Counter
from pathlib import Path

import fastjsonschema
import pytest
import yaml

from personahub.config import load
from personahub.errors import ConfigError
from personahub.ids import content_id
from personahub.stages.synthesize import tasks
from personahub.stages.synthesize.checks import Answer
from personahub.stages.synthesize.transform import parse_answer

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
LORE = "The Reedfolk live by the Mire of Ossen.\nWardens keep the Lamps of Tirrel, and Saltwives trade with the Drowned."
NURSE = "A night-shift nurse who keeps a tally of every infusion pump on the ward."
MODES = ("zero_shot", "few_shot", "persona_few_shot")


@pytest.fixture
def lore(tmp_path):
    path = tmp_path / "lore.md"
    path.write_text(LORE, encoding="utf-8")
    return str(path)


OF_CHOICES = [
    (name, {key: value})
    for name in tasks.names()
    for key, values in tasks.entries.read(name, None)[1]["choices"].items()
    for value in values
]


@pytest.mark.parametrize(("name", "settings"), [*((name, {}) for name in tasks.names()), *OF_CHOICES])
def test_every_prompt_shows_an_answer_that_passes_the_tasks_own_checks(name, settings):
    task = tasks.load(name, settings=settings)
    user = task.prompts["zero_shot"].render({"persona": NURSE})[1]["content"]
    shown = user.partition("For a thatcher who lays roofs of reed, the answer could be:")[2].split("\n")[2]
    answer = json.loads(shown)
    assert tasks.shown_example(task) == answer[task.text_field]
    constants = task.prompts["zero_shot"].constants
    seen = Answer(answer, answer[task.text_field], NURSE, (), task.settings, constants)
    free = {"of_the_lore", "at_least_words"}  # of another world; cut short
    checks = {check.__name__ if hasattr(check, "__name__") else check.func.__name__: check for check in task.checks}
    assert {kind: check(seen) for kind, check in checks.items() if kind not in free} == dict.fromkeys(checks.keys() - free)
    copied = dict.fromkeys(MODES, "copied_example")
    assert {
        mode: parse_answer(task, mode, shown, None, None, {"persona": NURSE}).reason for mode in MODES
    } == copied or free & checks.keys()


def test_the_code_of_the_example_passes_its_tests():
    task = tasks.load("tool", settings={"part": "interface and code"})
    user = task.prompts["zero_shot"].render({"persona": NURSE})[1]["content"]
    answer = json.loads(next(line for line in user.split("\n") if line.startswith('{"name"')))
    exec(f"{answer['code']}\n{answer['tests']}", {})


def chosen(*entries, **keys):
    overrides = [f"synthesis.tasks={json.dumps(entries)}", *(f"synthesis.{key}={value}" for key, value in keys.items())]
    return tasks.choose(load(overrides=overrides))


def settings_of(name, lore):
    return {"lore": lore} if name == "npc" else {}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", tasks.names())
def test_rendered_prompts_are_those_of_the_golden_files(name, mode, lore):
    variables = {"persona": NURSE}
    if mode != "zero_shot":
        variables["examples"] = ["How many tides does the mill need?", "Which lamp is lit last?"]
    if mode == "persona_few_shot":
        variables["example_personas"] = ["A miller on an estuary.", "A lamplighter."]
    prompt = tasks.load(name, settings=settings_of(name, lore)).prompts[mode]
    rendered = "".join(f"=== {message['role']}\n{message['content']}\n" for message in prompt.render(variables))
    path = GOLDEN / f"{name}_{mode}.txt"
    if os.environ.get("PERSONAHUB_WRITE_GOLDEN"):
        path.write_text(rendered, encoding="utf-8")
    assert rendered == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", tasks.names())
def test_each_task_has_its_text_field_a_schema_that_compiles_and_travels_to_a_worker(name, lore):
    task = tasks.load(name, settings=settings_of(name, lore))
    fastjsonschema.compile(task.schema)
    assert task.text_field in task.schema["properties"]
    assert pickle.loads(pickle.dumps(task)).prompts["zero_shot"].render({"persona": "A"}) == task.prompts["zero_shot"].render(
        {"persona": "A"}
    )


def test_a_task_with_settings_is_another_one_and_one_that_is_named_twice_is_not():
    found = chosen(
        "math", "math", {"name": "math", "topic": "geometry"}, {"name": "math", "topic": "geometry", "difficulty": "olympiad"}
    )
    assert [task.name for task in found.values()] == ["math"] * 3
    assert next(iter(found)) == "math"
    assert len({task.sample_index("zero_shot") for task in found.values()}) == 3
    assert [task.settings for task in found.values()] == [
        {},
        {"topic": "geometry"},
        {"topic": "geometry", "difficulty": "olympiad"},
    ]
    assert list(chosen({"name": "math", "difficulty": None})) == ["math"]


def test_sample_numbers_of_a_task_are_int32_and_hang_on_its_key_and_the_mode_alone(lore):
    wanted = int(content_id("math zero_shot")[:8], 16) % (2**31 // tasks.SAMPLES) * tasks.SAMPLES
    assert tasks.load("math").sample_index("zero_shot") == wanted
    for name in tasks.names():
        task = tasks.load(name, settings=settings_of(name, lore))
        found = {task.sample_index(mode) for mode in MODES}
        assert len(found) == len(MODES)
        assert 0 <= min(found) <= max(found) < 2**31 - tasks.SAMPLES


def test_a_constraint_and_a_language_are_settings_of_every_task(lore):
    entries = [{"name": name, **settings_of(name, lore)} for name in tasks.names()]
    for task in chosen(*entries, constraint="finance and probability", language="zh").values():
        user = task.prompts["zero_shot"].render({"persona": NURSE})[1]["content"]
        assert "It must be about this: finance and probability." in user
        assert 'ISO 639-1 code is "zh"' in user
    (one,) = chosen({"name": "math", "language": "fr"}, language="zh").values()
    assert one.settings["language"] == "fr"


def test_a_parameter_with_several_values_is_drawn_for_each_persona(tmp_path):
    (tmp_path / "topics.txt").write_text("# what the demo asks for\ngeometry\n\nnumber theory\ncombinatorics\n")
    (listed,) = chosen({"name": "math", "topic": ["geometry", "number theory", "combinatorics"]}).values()
    (of_file,) = chosen({"name": "math", "topic": {"file": str(tmp_path / "topics.txt")}}).values()
    assert of_file.drawn == listed.drawn == {"topic": ("geometry", "number theory", "combinatorics")}
    people = [f"p{number}" for number in range(3_000)]
    before = {name: of_file.values_for(name, 1)["topic"] for name in people}
    assert all(900 < count < 1_100 for count in Counter(before.values()).values())
    assert before != {name: of_file.values_for(name, 2)["topic"] for name in people}
    user = of_file.prompts["zero_shot"].render({"persona": NURSE, "topic": "geometry"})[1]["content"]
    assert "math problem in geometry" in user
    # one more value moves its share of them to itself, and buys nobody else anew
    (more,) = chosen({"name": "math", "topic": ["geometry", "algebra", "number theory", "combinatorics"]}).values()
    assert (more.key, more.prompts["zero_shot"].version) == (of_file.key, of_file.prompts["zero_shot"].version)
    after = {name: more.values_for(name, 1)["topic"] for name in people}
    assert {after[name] for name in people if after[name] != before[name]} == {"algebra"}


def test_what_comes_before_the_examples_is_the_same_for_all_personas(lore):
    prompt = tasks.load("npc", settings={"lore": lore}).prompts["few_shot"]
    one, other = (
        prompt.render({"persona": name, "examples": [name * 2]})[1]["content"].split("An example:")[0]
        for name in ("A baker", "B")
    )
    assert one == other
    assert LORE in one


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["maths"], r"there is no task .maths.; did you mean math\?"),
        ([{"topic": "x"}], "names no task"),
        ([{"name": "math", "topics": "x"}], r"math: unknown parameter 'topics'; did you mean topic\?"),
        ([{"name": "math", "difficulty": "hard"}], "difficulty 'hard' is none of elementary school, middle school"),
        ([{"name": "math", "topic": []}], "what is drawn from is a list of texts"),
        ([{"name": "math", "topic": {"folder": "x"}}], "is no value: write a text, a list of texts, or"),
        ([{"name": "math", "topic": {"file": "/nowhere.txt"}}], "topic /nowhere.txt can not be read"),
        ([{"name": "math", "difficulty": ["olympiad", "hard"]}], "difficulty 'hard' is none of"),
        ([{"name": "npc", "lore": ["a", "b"]}], "lore is the path of one file, and can not be drawn"),
        ([{"name": "npc", "lore": "/nowhere/lore.md"}], "npc: lore /nowhere/lore.md can not be read"),
    ],
)
def test_what_is_wrong_is_named(entries, message):
    with pytest.raises(ConfigError, match=message):
        chosen(*entries)


HAIKU = {
    "name": "haiku",
    "version": "1",
    "what": "haiku",
    "create": "Write a haiku{{ ' on ' ~ theme if theme }} as the person described below would.\n",
    "answer": '{"haiku": "..."}',
    "schema": {
        "type": "object",
        "additionalProperties": False,
        "required": ["haiku"],
        "properties": {"haiku": {"type": "string"}},
    },
    "text_field": "haiku",
    "checks": ["not_blank", {"at_least_words": 5}],
    "parameters": {"theme": None},
}


def write(folder, **change):
    (folder / "haiku.yaml").write_text(
        yaml.safe_dump({key: value for key, value in {**HAIKU, **change}.items() if value is not ...})
    )
    return str(folder)


def test_ones_own_task_lies_in_a_folder(tmp_path):
    (task,) = chosen({"name": "haiku", "theme": "rain"}, task_folder=write(tmp_path)).values()
    assert "Write a haiku on rain as" in task.prompts["zero_shot"].render({"persona": NURSE})[1]["content"]
    assert list(tasks.names(str(tmp_path))) == sorted([*tasks.names(), "haiku"])


def test_the_example_of_ones_own_task_follows_a_drawn_choice(tmp_path):
    change = {"choices": {"theme": ["rain", "snow"]}, "example": '{"haiku": "On {{ theme }}, a frog"}'}
    (task,) = chosen({"name": "haiku", "theme": ["rain", "snow"]}, task_folder=write(tmp_path, **change)).values()
    user = task.prompts["zero_shot"].render({"persona": NURSE, "theme": "snow"})[1]["content"]
    assert '{"haiku": "On snow, a frog"}' in user
    assert tasks.shown_example(task, (("theme", "snow"),)) == "On snow, a frog"


def test_a_parameter_that_must_be_set_is_asked_for_and_a_file_may_lie_beside_the_task(tmp_path):
    change = {
        "parameters": {"seasons": None},
        "required": ["seasons"],
        "files": {"seasons": "seasons"},
        "create": "{{ seasons }}",
    }
    folder = write(tmp_path, **change)
    with pytest.raises(ConfigError, match=r"haiku needs seasons: write \{name: haiku, seasons: ...\}"):
        chosen("haiku", task_folder=folder)
    (tmp_path / "words.txt").write_text("frost, mud, dust, smoke")
    (task,) = chosen({"name": "haiku", "seasons": "words.txt"}, task_folder=folder).values()
    assert "frost, mud, dust, smoke" in task.prompts["zero_shot"].render({"persona": NURSE})[1]["content"]


def test_ones_own_task_of_the_same_name_takes_the_place_of_ours(tmp_path):
    (tmp_path / "math.yaml").write_text(yaml.safe_dump({**HAIKU, "name": "math", "what": "haiku on mathematics"}))
    (task,) = chosen("math", task_folder=tmp_path).values()
    assert task.text_field == "haiku"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"example": '{"haiku": 7}'}, "example is no answer by the schema"),
        ({"example": "An old pond"}, "example is no answer by the schema"),
        ({"check": []}, r"unknown key check; did you mean checks\?"),
        ({"answer": ...}, "missing key answer"),
        ({"version": 1}, "version must be a string"),
        ({"parameters": []}, "parameters must be a mapping"),
        ({"name": "tanka"}, r"is called haiku.yaml, but its name is 'tanka'"),
        ({"text_field": "poem"}, "text_field 'poem' is no property of the schema"),
        ({"choices": {"form": ["a"]}}, "choices names form, which is not among parameters"),
        ({"parameters": {"persona": None}}, "can not be called persona"),
        ({"checks": ["not_blnk"]}, r"there is no check 'not_blnk'; did you mean not_blank\?"),
        ({"checks": [7]}, "neither a name nor"),
        ({"checks": ["of_the_lore"]}, "of_the_lore needs the field class, race"),
        ({"checks": ["nowhere.at_all:check"]}, "nowhere.at_all:check can not be imported"),
        ({"create": "{{ mood }}"}, "variables declares"),
        ({"create": "{% if %}"}, "is not a valid template"),
        ({"schema": {"type": "object", "properties": {"haiku": {"type": "string"}}}}, "additionalProperties: false"),
        ({"schema": {**HAIKU["schema"], "properties": {"haiku": {"type": "sting"}}}}, "not a valid JSON Schema: Unknown type"),
    ],
)
def test_a_task_file_that_is_not_as_it_should_be(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message) as told:
        chosen("haiku", task_folder=write(tmp_path, **change))
    assert "haiku.yaml" in str(told.value)


def test_a_task_folder_that_is_not_there():
    with pytest.raises(ConfigError, match=r"synthesis.task_folder: there is no folder /nowhere"):
        chosen("math", task_folder="/nowhere")
