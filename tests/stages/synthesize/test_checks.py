import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personahub.stages.synthesize import checks
from personahub.stages.synthesize.checks import CHECKS, Answer, check_of

NURSE = "A night-shift nurse who keeps a tally of every infusion pump on the ward."
PROBLEM = "A ward has 14 pumps. Each night two fail and one is repaired. After how many nights are only 5 left?"
LORE = "The Reedfolk live by the Mire of Ossen. They fear the Drowned. Of the callings the Wardens keep the Lamps of Tirrel."
TOOL = {"name": "pump_failures", "parameters": '{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}'}


def verdict(name, text="", value=None, *, content=None, examples=(), settings=None, constants=None):
    check = check_of(
        name if value is None else {name: value}, dict.fromkeys(["race", "class", "name", "parameters", "code", "tests"])
    )
    found = check(Answer(content or {}, text, NURSE, examples, settings or {}, constants or {}))
    return found and found[0]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("not_blank", " \n", "blank"),
        ("not_blank", "a", None),
        ("not_short", "What is 2?", "no_question"),
        ("not_short", PROBLEM, None),
        ("not_refused", "I am sorry, but I cannot help with that.", "refusal"),
        ("not_refused", "Sorry tales of the ward, told at night", None),
        ("not_the_persona", NURSE, "copied_persona"),
        ("not_the_persona", f"{NURSE} {PROBLEM}", None),
        ("asks", "A ward has 14 pumps and two of them fail each night.", "no_question"),
        ("asks", "Prove that the number of pumps is never divisible by seven.", None),
        ("asks", "一个病房有14台泵，每晚坏两台。几晚之后只剩下5台？", None),
        ("quantities", "How fast do pumps fail on a ward, and when are too few left?", "no_quantity"),
        ("quantities", PROBLEM, None),
        ("quantities", "Each night two pumps fail. When is half of them left?", None),
        ("quantities", "Prove that n is even.", None),
        ("quantities", "Jede Nacht fallen zwei Pumpen aus. Wann ist die Hälfte übrig?", None),
        ("quantities", "每晚坏两台泵，几晚之后只剩一半？", None),
        (
            "quantities",
            "عدد المضخات في الجناح يتناقص كل ليلة، فمتى لا يبقى منها ما يكفي المرضى؟",
            None,
        ),  # its numbers are not known
        ("self_contained", "What would the person do with the pumps?", "not_self_contained"),
        ("self_contained", "Explain to this person how an infusion pump works.", "not_self_contained"),
        ("self_contained", "A person reads a gauge. What does the person write down?", None),
        ("self_contained", "How do I tell the person next to me that the pump is off?", None),
        ("no_answer", f"{PROBLEM}\n\nAnswer: 9", "leaked_answer"),
        ("no_answer", f"{PROBLEM}\n**Solution:** each night one more is lost.", "leaked_answer"),
        ("no_answer", f"{PROBLEM} $\\boxed{{9}}$", "leaked_answer"),
        ("no_answer", "几晚之后只剩下5台？\n答案：九晚", "leaked_answer"),
        ("no_answer", "Find the answer set of the inequality 3x + 1 < 14.", None),
    ],
)
def test_what_is_refused_and_why(name, text, reason):
    assert verdict(name, text) == reason


@settings(max_examples=300, deadline=None)
@given(st.from_regex(checks._ANSWER))
def test_the_stems_hide_no_answer(text):
    assert any(stem in text.casefold() for stem in checks._ANSWER_STEMS)


def test_a_text_has_so_many_words_at_least():
    assert verdict("at_least_words", "five words and no more", 6) == "too_short"
    assert verdict("at_least_words", "five words and no more", 5) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (PROBLEM, "copied_example"),
        (PROBLEM.replace("14", "15"), "copied_example"),  # a variation
        (
            "On another ward, told by the night nurse herself to the two students who had come to count the beds, there stood many pumps. "
            "Each night two fail and one is repaired. After how many nights are only 5 left?",
            "copied_example",  # a run of its words
        ),
        (
            "A baker has 14 loaves. Each night two are sold and one is baked. On which day is the shelf empty for the first time?",
            None,
        ),
    ],
)
def test_what_was_shown_as_an_example_is_not_given_back(text, reason):
    assert verdict("not_an_example", text, examples=["Which lamp is lit last?", PROBLEM]) == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("State the problem and nothing after its question.", "copied_prompt"),
        (
            "Dear nurse, create a challenging math problem with the person described below: its setting, quantities and question.",
            "copied_prompt",
        ),
        (PROBLEM, None),
    ],
)
def test_what_the_prompt_says_is_not_given_back(text, reason):
    said = (
        "Create a challenging math problem with the person described below: its setting, quantities and question grow\n"
        "out of what this person does.\nState the problem and nothing after its question: no answer, no solution, no hints."
    )
    found = check_of("not_the_prompt", {})(Answer({}, text, NURSE, (), {}, {}, said))
    assert (found and found[0]) == reason


def test_an_answer_is_in_the_language_that_was_asked_for():
    german = (
        "Eine Station hat vierzehn Pumpen, und jede Nacht fallen zwei davon aus. Nach wie vielen Nächten sind noch fünf übrig?"
    )
    assert verdict("in_language", german, settings={"language": "de"}) is None
    assert verdict("in_language", PROBLEM, settings={"language": "de"}) == "wrong_language"
    assert verdict("in_language", PROBLEM) is None  # none was asked for
    assert verdict("in_language", "Why?", settings={"language": "de"}) is None  # too short to tell


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"race": "Elf"}, "not_of_the_lore"),
        ({"class": "Paladin"}, "not_of_the_lore"),
        ({"background": "She mends lamps and asks no questions."}, "not_of_the_lore"),
    ],
)
def test_a_character_is_of_the_world_that_the_lore_tells_of(change, reason):
    content = {
        "race": "reedfolk",
        "class": "Wardens",
        "background": "She tends a lamp on the Mire and has seen the Drowned walk below Ossen.",
        "quests": [{"title": "A light", "task": "Carry oil to Tirrel.", "reward": "A lamp"}],
        **change,
    }
    if "background" in change:
        content["quests"] = []
    assert verdict("of_the_lore", content=content, constants={"lore": LORE}) == reason


@pytest.mark.parametrize(
    ("change", "settings", "reason"),
    [
        ({}, {}, None),
        ({"name": "PumpFailures"}, {}, "bad_interface"),
        ({"parameters": "n: integer"}, {}, "bad_interface"),
        ({"parameters": '{"type": "array"}'}, {}, "bad_interface"),
        ({"parameters": '{"type": "object", "properties": {}, "required": ["n"]}'}, {}, "bad_interface"),
        ({"parameters": '{"type": "object", "properties": {"n": {"type": "whole"}}}'}, {}, "bad_interface"),
        ({"parameters": '{"type": "object", "properties": {"n": {"$ref": "file:///etc/hostname"}}}'}, {}, "bad_interface"),
    ],
)
def test_a_tool_has_an_interface_that_can_be_called(change, settings, reason):
    assert verdict("interface", content={**TOOL, "code": "", "tests": "", **change}, settings=settings) == reason


TESTED = "assert pump_failures(1) == 1"


@pytest.mark.parametrize(
    ("code", "tests", "lacks"),
    [
        ("def pump_failures(n): return n", TESTED, None),
        ("import math\n\ndef pump_failures(n):\n    'Counts.'\n    return math.ceil(n)", TESTED, None),
        ("", TESTED, "defines no function pump_failures"),
        ("def failures(n): return n", TESTED, "defines no function pump_failures"),
        ("def pump_failures(n):\n    # looks the number up\n", TESTED, "is no Python"),
        ("# looks the number up", TESTED, "defines no function"),
        ("def pump_failures(n):\n    'Counts.'\n    pass", TESTED, "the body of pump_failures is empty"),
        ("def pump_failures(n):\n    ...\n    return None", TESTED, "the body of pump_failures is empty"),
        ("def pump_failures(n):\n    raise NotImplementedError('later')", TESTED, "the body of pump_failures is empty"),
        ("def pump_failures(n) return n", TESTED, "is no Python"),
        ("def pump_failures(n): return " + "-" * 100_000 + "n", TESTED, "is no Python"),
        ("def pump_failures(n): return n", "", "the tests assert nothing"),
        ("def pump_failures(n): return n", "# assert pump_failures(1) == 1", "the tests assert nothing"),
    ],
)
def test_code_that_is_asked_for_is_a_function_that_does_something(code, tests, lacks):
    content, settings = {**TOOL, "code": code, "tests": tests}, {"part": "interface and code"}
    found = check_of("code", content)(Answer(content, "", NURSE, (), settings, {}))
    assert found is None if lacks is None else found[0] == "no_code" and lacks in found[1]
    assert verdict("code", content=content) is None  # not asked for


def shouted(answer, value):
    return ("shouted", "too many capitals") if sum(map(str.isupper, answer.text)) > value else None


def test_a_check_of_ones_own_is_named_by_its_module():
    assert verdict(f"{__name__}:shouted", "WHY?", 2) == "shouted"
    assert verdict(f"{__name__}:shouted", "Why?", 2) is None


@given(st.text(), st.text(), st.lists(st.text(), max_size=3))
def test_no_check_raises_whatever_the_text(text, other, examples):
    content = {"race": other, "class": other, "name": other, "parameters": text, "code": other, "tests": other}
    answer = Answer(content, text, other, examples, {"language": "en"}, {"lore": other})
    for name in CHECKS:
        value = 3 if name == "at_least_words" else None
        found = check_of(name if value is None else {name: value}, content)(answer)
        assert found is None or all(isinstance(part, str) for part in found)


def test_a_name_in_the_lore_is_told_from_the_first_word_of_a_sentence():
    content = json.loads('{"race": "they", "class": "of", "background": "They live by the fear of lamps.", "quests": []}')
    assert verdict("of_the_lore", content=content, constants={"lore": LORE}) == "not_of_the_lore"
