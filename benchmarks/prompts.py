"""What a model makes of our prompts: how many answers are kept, and what is refused for which reason. Costs one answer a request.

    python benchmarks/prompts.py [--base-url http://127.0.0.1:8091/v1] [--texts pages.jsonl] [--personas personas.jsonl]
                                 [--pages 20] [--parents 12] [--examples 3] [--out answers.jsonl]

Each page is asked for personas of all four relations, each parent for those of three relations, and each of the first personas for one
example of each task. Without --base-url a simulated endpoint answers; without --texts and --personas the demo's texts are asked about.
--out keeps every answer with its verdict, for reading: whether what was kept is good is for people to say. No engine, no hub.
"""

import argparse
import json
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from personahub import mockserver, prompts
from personahub.config import PersonaFilters
from personahub.filters import Shown
from personahub.prompts import Prompt
from personahub.stages.persona_answers import parse_answer
from personahub.stages.persona_to_persona import transform as hop
from personahub.stages.synthesize import tasks, transform
from personahub.stages.text_to_persona import RELATIONS

TASKS = [(name, {}) for name in ("math", "logic", "instruction", "knowledge", "npc")] + [("tool", {"part": "interface and code"})]
Verdicts = list[tuple[str | None, str | None, str | None]]  # reason (None: kept), detail, what it is about


@dataclass
class Request:
    """read: from the text of an answer to what is in it."""

    step: str
    prompt: Prompt
    variables: dict[str, Any]
    read: Callable[[str], Verdicts]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--base-url", help="an OpenAI-compatible endpoint that needs no key; none: a simulated one")
    parser.add_argument("--model", default="model")
    parser.add_argument("--texts", type=Path, help="jsonl with `text`; none: the demo's")
    parser.add_argument(
        "--personas", type=Path, help="jsonl with `persona`: parents, and who examples are made with; none: those of the texts"
    )
    parser.add_argument("--pages", type=int, default=20)
    parser.add_argument("--parents", type=int, default=12)
    parser.add_argument("--examples", type=int, default=3, help="of each task")
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--max-tokens", type=int, default=1024)
    parser.add_argument("--out", type=Path, help="a jsonl of answers and verdicts")
    given = parser.parse_args()
    texts = [row["text"] for row in rows(given.texts or resources.files("personahub.demo") / "texts.jsonl")][: given.pages]
    known = [row["persona"] for row in rows(given.personas)] if given.personas else []
    simulated = nullcontext() if given.base_url else mockserver.start(port=0, median=0.0, sigma=0.0)
    with simulated as server, open(given.out or "/dev/null", "w", encoding="utf-8") as out:
        given.base_url = given.base_url or server.base_url
        made = ask(list(of_pages(texts)), given, out)
        people = known or made
        ask(list(of_parents(people[: given.parents])), given, out)
        ask(list(of_tasks(people[: given.examples])), given, out)


def rows(file: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def of_pages(texts: list[str]) -> Iterator[Request]:
    prompt = prompts.load("text_to_persona")
    for text in texts:
        variables = {"text": text[:6000], "relations": list(RELATIONS), "granularity": "fine", "personas_per_relation": 1}
        yield Request("text-to-persona", prompt, variables, personas_in(prompt, variables, list(RELATIONS), text))


def of_parents(parents: list[str]) -> Iterator[Request]:
    prompt, relations = prompts.load("persona_to_persona"), hop.load_relations(None)
    for parent in parents:
        chosen = hop.relations_of(parent, relations, 3)
        asked = [{"name": one.name, "who": one.who} for one in chosen]
        variables = {"persona": parent, "relations": asked, "children_per_relation": 1}
        yield Request(
            "persona-to-persona", prompt, variables, personas_in(prompt, variables, [one.name for one in chosen], parent, True)
        )


def personas_in(prompt: Prompt, variables: dict[str, Any], names: list[str], parent: str, is_person: bool = False) -> Any:
    def read(text: str) -> Verdicts:
        shown = Shown(parent, prompt.own_words(variables))
        items = parse_answer(text, None, None, names, shown, PersonaFilters(), prompt.schema)
        if is_person:
            items = [hop._another_person(item, parent) for item in items]
        return [(item.reason, item.detail, item.persona or item.raw) for item in items]

    return read


def of_tasks(people: list[str]) -> Iterator[Request]:
    for name, settings in TASKS:
        task = tasks.load(name, settings=settings)
        for persona in people:
            yield Request(name, task.prompts["zero_shot"], {"persona": persona}, example_in(task, persona))


def example_in(task: tasks.Task, persona: str) -> Any:
    def read(text: str) -> Verdicts:
        made = transform.parse_answer(task, "zero_shot", text, None, None, {"persona": persona})
        return [(made.reason, made.detail, made.value or text)]

    return read


def ask(requests: list[Request], given: argparse.Namespace, out: Any) -> list[str]:
    """Asks, prints a line for each step, and returns what was kept."""
    begun, kept = time.monotonic(), list[str]()
    with ThreadPoolExecutor(given.parallel) as pool:
        answers = list(pool.map(lambda request: answered(request, given), requests))
    seconds = time.monotonic() - begun
    for step in dict.fromkeys(request.step for request in requests):
        counts, usage, asked = Counter[str](), Counter[str](), 0
        for request, (text, tokens) in zip(requests, answers, strict=True):
            if request.step != step:
                continue
            asked, usage = asked + 1, usage + tokens
            verdicts = request.read(text)
            counts.update(reason or "kept" for reason, _, _ in verdicts)
            kept += [found for reason, _, found in verdicts if reason is None and found]
            data = [request.variables[name] for name in request.prompt.data if name in request.variables]
            line = {"step": step, "version": request.prompt.version, "data": data, "text": text, "verdicts": verdicts}
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
            out.flush()
        told = ", ".join(
            f"{reason} {count}" for reason, count in sorted(counts.items(), key=lambda item: (item[0] != "kept", -item[1]))
        )
        cached = f"{usage['cached'] / max(1, usage['prompt']):.0%} of {usage['prompt']:,} prompt tokens cached"
        print(f"{step}: {asked} requests, {told}; {cached}, {usage['answer']:,} of answers", flush=True)
    print(f"  {len(requests)} requests in {seconds:.0f} s", flush=True)
    return kept


def answered(request: Request, given: argparse.Namespace) -> tuple[str, Counter[str]]:
    prompt = request.prompt
    body = {
        "model": given.model,
        "messages": prompt.render(request.variables),
        "max_tokens": given.max_tokens,
        "seed": 1,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": prompt.schema_name, "strict": True, "schema": prompt.schema},
        },
    }
    sent = urllib.request.Request(
        f"{given.base_url.rstrip('/')}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(sent, timeout=1200) as response:
        answer = json.load(response)
    usage = answer.get("usage") or {}
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or answer.get("timings", {}).get("cache_n") or 0
    tokens = Counter(prompt=usage.get("prompt_tokens", 0), answer=usage.get("completion_tokens", 0), cached=cached)
    return answer["choices"][0]["message"]["content"] or "", tokens


if __name__ == "__main__":
    main()
