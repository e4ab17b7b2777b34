"""`personahub demo`: all stages on forty short texts of our own and a simulated endpoint; with `--model` on few and a small real model."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from personahub import config as configuration
from personahub import figures, localmodel, mockserver, pipeline
from personahub.demo import corpus
from personahub.engines.spark import SHORT_RUN
from personahub.render import hops, views
from personahub.render.terminal import TerminalUI, dollars, duration

SIMULATED = "The answers are simulated: they come from a mock server on this machine, not from a model. Nothing was paid."
PRICES = {"in_mtok_cost": 0.15, "out_mtok_cost": 0.6}  # $ per million tokens, made up
HOPS, FRONTIER = 2, 40  # and how many personas a hop asks
TURNS = 2  # of the user, in conversations

SMALL = (
    f"A real model answers here: {localmodel.NAME}, on this machine, at no cost. It is a very small one: it repeats the prompt and itself, "
    "and what is not refused is weak, too. A hub of your own asks a larger one, of any server that speaks the OpenAI API."
)
TEXTS, RELATIONS, PEOPLE, TASKS = 4, ("read", "dislike"), 3, ("instruction", "math")  # an answer takes seconds


def demo(out: Path, console: Console, *, verbose: bool = False) -> None:
    """Lay out the corpus below `out`, run every stage with two hops, and print the counts, five personas with their text, the way of one of
    hop 2 back to its text, an example of every task, the cost.
    """
    path, topics = corpus.lay_out(out / "redpajama-v2"), corpus.topics(out / "world")
    with mockserver.start(port=0, median=0.05, sigma=0.5, capacity=32, duplicates=0.2) as endpoint:
        model = {
            "base_url": endpoint.base_url,
            "model": "simulated",
            "api_key_env": None,
            "max_concurrent_requests": 32,
            **PRICES,
        }
        values = {
            "root": str(out / "hub"),
            "documents.path": str(path),
            "models.default": model,
            "persona_to_persona.hops": HOPS,
            "persona_to_persona.max_frontier": FRONTIER,
            "synthesis.tasks": _tasks(topics),
            "synthesis.conversation.turns": TURNS,
        }
        settings = _settings(values)
        ui = TerminalUI(console, yes=True)
        with pipeline.open_hub(settings, ui, spend=True, verbose=verbose) as hub:
            for result in pipeline.run(hub, tuple(pipeline.STAGES)):
                views.result(console, result)
            shown, state, by_hop = figures.samples(hub.store.table), pipeline.status(hub), pipeline.hop_report(hub)
            progress = pipeline.progress(hub)
            last = hub.store.table("personas").where(f"hop = {HOPS}").orderBy("persona_id").first()
            way = pipeline.lineage(hub, last.persona_id) if last else None
    console.rule("five personas and the texts they came from")
    views.samples(console, figures.Samples(shown.personas, ()))
    console.rule("one persona, two relations away from a text")
    if way:
        views.lineage(console, way)
    console.rule("an example of every task (simulated), and the persona it was made with")
    views.samples(console, figures.Samples((), shown.examples))
    console.rule("the hub")
    views.status(console, state, settings.root, progress)
    hops.hops(console, by_hop)
    prices = f"${PRICES['in_mtok_cost']:.2f} and ${PRICES['out_mtok_cost']:.2f} per million tokens in and out"
    ui.say(f"{SIMULATED} At {prices} it would have cost {dollars(state.cost_usd)}.")
    ui.say(f"The tables are in {settings.root}: a second `personahub demo --out {out}` buys none of these answers again.")


def with_model(out: Path, console: Console, *, verbose: bool = False) -> None:
    """The same with a real model, of few texts: buy a first answer, say how long the others will take, and print personas, examples and
    what was refused. Raises ConfigError where the model is not installed.
    """
    with localmodel.start() as base_url:
        ui = TerminalUI(console, yes=True)
        ui.say(SMALL)
        values = {
            "root": str(out / "model-hub"),
            "documents.path": str(corpus.lay_out(out / "redpajama-v2")),
            "documents.max_documents": TEXTS,
            "models.default": localmodel.settings(base_url),
            "text_to_persona.relations": RELATIONS,
            "text_to_persona.relations_per_request": 1,  # such a model holds no more in mind
            "text_to_persona.max_text_characters": 600,
            "synthesis.tasks": TASKS,
            "synthesis.max_personas": PEOPLE,
        }
        settings = _settings(values)
        with pipeline.open_hub(settings, ui, spend=True, verbose=verbose) as hub:
            for result in pipeline.run(hub, ["documents"]):
                views.result(console, result)
            pipeline.preview(hub, "text-to-persona", 1)
            first = hub.store.table("completions").where("purpose = 'personas'").orderBy("created_at").first()
            left = pipeline.estimates(hub, ["text-to-persona"])[0].calls
            if first is not None and left:
                calls = left + PEOPLE * len(TASKS)
                # two at a time take longer than one, and some are asked again: on two busy cores it was 2.2 times as long as this
                least = calls * first.latency_s / localmodel.SLOTS
                span = f"{duration(least)} to {duration(3 * least)}"
                ui.say(f"The first answer took {duration(first.latency_s)}. Up to {calls} more are asked for: that takes {span}.")
            for result in pipeline.run(hub, ["text-to-persona", "dedup", "synthesize"]):
                views.result(console, result)
            shown, state, progress = figures.samples(hub.store.table), pipeline.status(hub), pipeline.progress(hub)
            refused = figures.refused(hub.store.table, n=8)
    console.rule("personas and the texts they came from")
    views.samples(console, figures.Samples(shown.personas, ()))
    console.rule("an example of every task, and the persona it was made with")
    views.samples(console, figures.Samples((), shown.examples))
    console.rule("what was refused, and why")
    views.refused(console, refused)
    console.rule("the hub")
    views.status(console, state, settings.root, progress)
    ui.say("These are the personas and examples of a very small model: a larger one writes better.")
    ui.say(
        f"The tables are in {settings.root}: a second `personahub demo --model --out {out}` asks for none of these answers again."
    )


def _settings(values: dict[str, Any]) -> configuration.Config:
    short = {"spark.conf": SHORT_RUN}  # where a local Spark is asked for
    return configuration.load(overrides=[f"{key}={json.dumps(value)}" for key, value in (values | short).items()])


def _tasks(topics: Path) -> list[Any]:
    return [
        {"name": "math", "topic": {"file": str(topics)}},
        "logic",
        "conversation",  # and instruction, its first turns
        "knowledge",
        "npc",
        {"name": "tool", "part": "interface and code"},
    ]
