"""Persona-to-Persona against a simulated endpoint: what each hop costs, and that a hop costs as the hop, not as the hub.

    python benchmarks/hops.py [--parts six,size] [--personas FILE] [--people 2500] [--hops 6] [--duplicates 0.65] [--hub 1000000]
        [--batch 50000] [--preview 20]

six     six hops, or --hops, from so many personas (of FILE, a jsonl with the column persona, else generated), nothing capped, in a world
        in which `--duplicates` of all answers are one of the few people who come again and again. Per hop: what came, beside what was
        foreseen before its first call, and $ per 1,000 kept at made-up prices.
size    one hop of so many children, from a hub of `--hub` personas and from one that holds its parents alone: CPU seconds of every
        process but the server.

Exits 1 if anybody is asked who is not kept, or twice for one relation, if calls are not what the keys say, if an estimate is more than
WITHIN off, or if the hop in the large hub costs more than RATIO times the one alone, or its dedup more than DEDUP_SECONDS.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import corpus
from common import command, machine, personahub, settings, write_personas
from embedding_jobs import cpu_of_all

from personahub import mockserver

STAGE, RELATIONS = "persona-to-persona", 3
PRICES = {"models.default.in_mtok_cost": 0.15, "models.default.out_mtok_cost": 0.6}  # $ per million tokens, made up
KEPT = 0.88  # of generated personas, at least
WITHIN, RATIO, DEDUP_SECONDS = 0.15, 3.0, 15.0
JUDGED = 1_000  # people from which on an estimate is: of fewer, the answers of the preview are many


@dataclass(frozen=True)
class Step:
    stage: str
    counts: dict[str, int]
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", default="six,size")
    parser.add_argument("--personas", type=Path)
    parser.add_argument("--people", type=int, default=2_500)
    parser.add_argument("--hops", type=int, default=6)
    parser.add_argument("--duplicates", type=float, default=0.65)
    parser.add_argument("--hub", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=50_000)
    parser.add_argument("--preview", type=int, default=20, help="answers that the first hop's tokens are foretold by")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--job", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job:
        job(Path(given.job[0]), given.job[1:])
        return
    print(f"seed {given.seed}; {machine()}; the endpoint is simulated", flush=True)
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        if "six" in given.parts:
            missed += _six(given, Path(folder))
        if "size" in given.parts:
            missed += _size(given, Path(folder))
    for text in missed:
        print(f"MISSED: {text}")
    sys.exit(1 if missed else 0)


def job(told: Path, arguments: list[str]) -> None:
    """`personahub run persona-to-persona` in this process: the CPU seconds of each step go to `told`."""
    from personahub import config, pipeline

    steps, before = [], 0.0
    with pipeline.open_hub(config.load(overrides=arguments), spend=True) as hub:
        for result in pipeline.run(hub, [STAGE]):
            now = cpu_of_all()
            steps.append({"stage": result.stage, "counts": result.counts, "cpu": now - before})
            before = now
    told.write_text(json.dumps(steps))


def _run(told: Path, arguments: list[str]) -> list[Step]:
    subprocess.run([sys.executable, __file__, "--job", str(told), *arguments[1::2]], check=True)
    return [Step(**step) for step in json.loads(told.read_text())]


# -- six hops -------------------------------------------------------------------------------------------------------------------------


def _six(given: argparse.Namespace, folder: Path) -> list[str]:
    people = given.personas or write_personas(folder / "people.jsonl", given.people, given.seed)
    lines = folder / "first.jsonl"
    with people.open() as file:
        lines.write_text("".join(islice(file, given.people)))
    with mockserver.start(port=0, capacity=128, median=0.05, duplicates=given.duplicates, seed=given.seed) as server:
        arguments = settings(folder / "six", server, **PRICES, **{"persona_to_persona.hops": given.hops})
        personahub("import", "personas", lines, *arguments)
        personahub("run", "dedup", *arguments)
        preview = command("preview", STAGE, "-n", str(given.preview), *arguments)
        subprocess.run(preview, check=True, stdout=subprocess.DEVNULL)
        steps = _run(folder / "six.json", arguments)
        bought = server.stats()
        _run(folder / "again.json", arguments)
        more = server.stats()["requests"] - bought["requests"]
        return _judged(given, arguments[1::2], steps, bought, more)


def _judged(given: argparse.Namespace, overrides: list[str], steps: list[Step], bought: dict[str, Any], more: int) -> list[str]:
    from pyspark.sql import functions as F

    from personahub import config, pipeline

    with pipeline.open_hub(config.load(overrides=overrides)) as hub:
        table = hub.store.table
        asked = table("requests").where(F.col("stage") == STAGE)
        not_kept = (
            table("duplicates").unionByName(table("tombstones"), allowMissingColumns=True).select(F.col("id").alias("source_id"))
        )
        unkept = asked.join(not_kept, on="source_id", how="left_semi").count()
        relations = F.explode(F.from_json("variables", "relations array<struct<name: string>>").getField("relations"))
        twice = asked.select("source_id", relations.alias("relation")).groupBy("source_id", "relation").count().where("count > 1")
        keys, twice = asked.select("completion_id").distinct().count(), twice.count()
        hops = pipeline.hop_report(hub)
    calls = [step.counts["calls"] + step.counts["reused"] for step in steps if step.stage == STAGE]
    print(f"\n{hops[0].kept:,} personas, then {given.hops} hops of {RELATIONS} relations each, nothing capped")
    print(
        f"{'hop':>3} {'asked':>7} {'calls':>7} {'foreseen':>8} {'tokens':>10} {'foreseen':>10} {'':5} {'produced':>8} {'kept':>7} "
        f"{'novelty':>7} {'$':>8} {'$ per 1,000 kept':>16}"
    )
    missed = []
    for hop, made in zip(hops[1:], calls, strict=True):
        share = (hop.expected_tokens or 0) / hop.tokens
        print(
            f"{hop.hop:3} {hop.asked:7,} {made:7,} {hop.expected_calls:8,} {hop.tokens:10,} {hop.expected_tokens:10,} {share:5.2f} "
            f"{hop.produced:8,} {hop.kept:7,} {hop.novelty:7.3f} {hop.cost_usd:8.4f} {1000 * hop.usd_per_kept:16.4f}"
        )
        if not made == hop.asked == hop.answered == hop.frontier:
            missed.append(
                f"hop {hop.hop}: {made} calls, {hop.asked} asked, {hop.answered} answered, a frontier of {hop.frontier}"
            )
        for what, foreseen, came in (("calls", hop.expected_calls, hop.asked), ("tokens", hop.expected_tokens, hop.tokens)):
            if given.people >= JUDGED and abs(foreseen / came - 1) > WITHIN:
                missed.append(f"hop {hop.hop}: {foreseen:,} {what} foreseen, {came:,} came")
    print(
        f"asked but not kept: {unkept}; asked twice for one relation: {twice}; requests {bought['requests']:,} for {keys:,} keys and one "
        f"probe; bought twice: {bought['bought_twice']}; a second run: {more} requests"
    )
    if unkept or twice or bought["bought_twice"] or more or bought["requests"] != keys + 1:
        missed.append("somebody was asked in vain, or twice")
    return missed


# -- one hop, and the size of the hub ---------------------------------------------------------------------------------------------------


def _size(given: argparse.Namespace, folder: Path) -> list[str]:
    parents, costs = given.batch // RELATIONS, list[list[Step]]()
    print(f"\none hop of {parents:,} calls; CPU s: dedup of nothing new, buying and reading, dedup of the children, all")
    for people in (round(parents / KEPT), given.hub):
        with mockserver.start(port=0, capacity=256, median=0.02, seed=given.seed) as server:
            lines = folder / f"{people}.jsonl"
            with lines.open("w") as file:
                for text in corpus.generate(people, given.seed)["persona"].to_pylist():
                    file.write(json.dumps({"persona": text}) + "\n")
            capped = {"persona_to_persona.hops": 1, "persona_to_persona.max_frontier": parents}
            arguments = settings(folder / f"hub-{people}", server, **capped, **{"models.default.max_concurrent_requests": 256})
            personahub("import", "personas", lines, *arguments)
            personahub("run", "dedup", *arguments)
            steps = _run(folder / f"{people}.json", arguments)
        costs.append(steps)
        children, total = steps[-1].counts["compared"], sum(step.cpu for step in steps)
        print(
            f"hub of {people:9,}: {' '.join(f'{step.cpu:6.1f}' for step in steps)} {total:6.1f}; {children:,} children, "
            f"{steps[-1].counts['kept']:,} kept",
            flush=True,
        )
    alone, hub = (sum(step.cpu for step in steps) for steps in costs)
    dedup = costs[-1][-1].cpu
    print(
        f"the hop in the hub / alone: {hub / alone:.2f} (goal <= {RATIO}); its dedup: {dedup:.1f} CPU s (goal <= {DEDUP_SECONDS})"
    )
    missed = [f"a hop in a hub of {given.hub:,} costs {hub / alone:.2f} times the one alone"] if hub / alone > RATIO else []
    return missed + ([f"dedup of the hop took {dedup:.1f} CPU s"] if dedup > DEDUP_SECONDS else [])


if __name__ == "__main__":
    main()
