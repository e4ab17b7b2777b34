"""`personahub demo`: all stages on forty short texts of our own and a simulated endpoint."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from personahub import config as configuration
from personahub import figures, mockserver, pipeline
from personahub.demo import corpus
from personahub.engines.spark import SHORT_RUN
from personahub.render import hops, views
from personahub.render.terminal import TerminalUI, dollars

SIMULATED = "The answers are simulated: they come from a mock server on this machine, not from a model. Nothing was paid."
PRICES = {"in_mtok_cost": 0.15, "out_mtok_cost": 0.6}  # $ per million tokens, made up
HOPS, FRONTIER = 2, 40  # and how many personas a hop asks
TURNS = 2  # of the user, in conversations


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
            "spark.conf": SHORT_RUN,  # where a local Spark is asked for
        }
        settings = configuration.load(overrides=[f"{key}={json.dumps(value)}" for key, value in values.items()])
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


def _tasks(topics: Path) -> list[Any]:
    return [
        {"name": "math", "topic": {"file": str(topics)}},
        "logic",
        "conversation",  # and instruction, its first turns
        "knowledge",
        "npc",
        {"name": "tool", "part": "interface and code"},
    ]
