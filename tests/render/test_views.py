import io
from dataclasses import replace

import pytest
from rich.console import Console

from personahub.figures import ExampleSample, Ledger, PersonaSample, RefusedSample, Reject, Samples, Status
from personahub.pipeline import Preview, StageResult
from personahub.render import views
from personahub.storage.hub import Estimate

EMPTY = Status(0, 0, 0, {}, 0, 0, {}, 0, {}, (), ())
PROGRESS = ("1 documents have led to no persona and no reject yet: run text-to-persona",)
FULL = Status(
    documents=40,
    refused=3,
    personas=160,
    duplicates_by_method={"exact": 8, "semantic": 2},
    kept=150,
    examples=148,
    examples_by_task={"math": 148},
    example_duplicates=6,
    personas_by_hop={0: 160},
    rejects=(Reject("documents", "too_short", 3),),
    stages=(
        Ledger("documents", seconds=65.0, status="done"),
        Ledger("probe", 1, {}, 0, {}, 1, 30, 6, 0.0, 0.0, None),
        Ledger("text-to-persona", 38, {"refused": 1}, 1, {"timeout": 1}, 45, 27000, 395, 0.0067, 29.0, "done", 0.843),
        Ledger("synthesize", 148, {}, 0, {}, 148, 40000, 7210, None, 25.0, "BudgetExceeded"),
    ),
)


def printed(view, *arguments, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    view(console, *arguments)
    return console.file.getvalue()


def test_status_says_what_was_cached_and_what_is_estimated():
    told = Ledger("synthesize", 148, {}, 0, {}, 148, 40000, 7210, 0.5, cached_tokens=25000, estimated=1200)
    text = " ".join(printed(views.status, replace(FULL, stages=(told,)), "hub").split())
    assert "synthesize: 62% of the prompt tokens came from the provider's cache" in text
    assert "synthesize: the endpoint did not tell all tokens of 1,200 calls: an upper estimate stands for them" in text
    assert "cache" not in printed(views.status, FULL, "hub")


def test_a_stage_is_one_line():
    result = StageResult("text-to-persona", {"calls": 1200, "personas": 4321}, 75.0, 1000, 234, 0.5, 0)
    shown = "text-to-persona: calls 1,200, personas 4,321; 1,234 tokens, $0.5000; 1 min 15 s\n"
    assert printed(views.result, result) == shown
    assert printed(views.result, result, width=30) == shown  # no table: a line that the terminal breaks


def test_status_tells_the_funnel_and_what_is_missing():
    shown = printed(views.status, FULL, "hub", PROGRESS)
    for part in ("3 refused (pages and files)", "too_short", "math 148", "27,395", "hop 0: 160", "exact 8, semantic 2"):
        assert part in shown
    for sentence in (
        "text-to-persona: final, but of no use: refused 1",
        "text-to-persona: 1 calls failed transiently (timeout 1): run again to ask for those",
        "synthesize: its last run ended with BudgetExceeded",
        *PROGRESS,
    ):
        assert sentence in shown


def test_status_tells_what_each_stage_took():
    lines = [" ".join(line.split()) for line in printed(views.status, FULL, "hub", PROGRESS).splitlines()]
    first = lines.index("stage time $ utilisation (last run)") + 2
    assert lines[first : first + 5] == [
        "documents 1 min 05 s",
        "probe $0.00",  # its time is part of the stage that asks for it
        "text-to-persona 29 s $0.0067 84%",
        "synthesize 25 s price unknown",
        "",
    ]
    assert lines[first + 5] == "all 1 min 59 s price unknown"


def test_an_empty_hub_misses_nothing():
    assert "nothing is known to be missing" in printed(views.status, EMPTY, "hub")


@pytest.mark.parametrize("width", [40, 80])
def test_tables_fit_the_terminal(width):
    tables = printed(views.status, FULL, "hub", width=width).split("text-to-persona: final")[0]
    assert max(len(line) for line in tables.splitlines()) <= width


def test_the_names_of_stages_stay_whole_on_80_columns():
    assert "text-to-persona  " in printed(views.status, FULL, "hub", PROGRESS)


def test_a_part_of_a_stage_is_named_with_it():
    shown = printed(views.estimates, [Estimate("synthesize", "moderation", 5, 0, 10, 20, 0.1, note="at most so many")])
    assert "synthesize, moderation: at most so many" in shown


def test_an_unknown_price_says_which_settings_are_missing():
    shown = printed(views.estimates, [Estimate("synthesize", "examples", 5, 1, 10, 20, None, "m", "u", "a note")])
    assert "in_mtok_cost and out_mtok_cost" in shown
    assert "synthesize, examples: a note" in shown


def test_a_preview_shows_the_exact_prompt_and_the_answer():
    messages = [{"role": "system", "content": "Be brief. [bold]"}, {"role": "user", "content": "[/] <document-1>"}]
    shown = printed(views.previews, [Preview("d1", messages, '{"personas": []}', "invalid", 10, 2, None)])
    for part in ("Be brief. [bold]", "[/] <document-1>", '{"personas": []}', "not usable: invalid", "10 tokens in, 2 out"):
        assert part in shown
    assert "nothing to preview" in printed(views.previews, [])


def test_a_conversation_is_shown_turn_by_turn():
    said = [{"role": "user", "content": "Which tide?"}, {"role": "assistant", "content": "The second."}]
    talk = ExampleSample("conversation", "A miller.", {"completion_ids": ["c1", "c2"], "messages": said})
    shown = printed(views.samples, Samples((), (talk,)))
    assert "user: Which tide?" in shown
    assert "assistant: The second." in shown
    assert "c1" not in shown


def test_corpus_text_is_no_markup():
    samples = Samples(
        (
            PersonaSample("A [red]cook[/red]", "like", "a/[b]", "Text with [/] and [link=x]"),
            PersonaSample("B", "import", "l/1", None),
        ),
        (ExampleSample("math", "A [/b]", {"problem": "What is [x]?"}), ExampleSample("math", "C", "[/]")),
    )
    shown = printed(views.samples, samples)
    for part in ("A [red]cook[/red]", "like: a/[b]", "Text with [/] and [link=x]", "(imported)", "A [/b]", "What is [x]?"):
        assert part in shown


def test_a_refused_answer_is_shown_with_its_reason_and_as_it_is():
    shown = printed(views.refused, (RefusedSample("synthesize", "copied", "[bold]why[/bold]", "An [i]answer[/i]\nin two lines"),))
    assert "copied: [bold]why[/bold]" in shown
    assert "An [i]answer[/i] in two lines" in shown
