"""The stage `verify`: whether the answers of several solvers to one problem agree, with a judge's word where rules cannot tell."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from personahub import ids, prompts, schemas
from personahub.config import Config
from personahub.inference import RequestBatch, find_pending
from personahub.inference import estimate as estimate_batch
from personahub.llm import json_answers
from personahub.rows import map_rows
from personahub.stages import solve
from personahub.stages.requests import request_row
from personahub.stages.stage import ModelUse, Rounds, Stage, TextColumns
from personahub.storage.hub import Estimate, Hub
from personahub.text import storable
from personahub.verification import Equivalence
from personahub.verification.agreement import precision_of_agreed
from personahub.verification.votes import Pair, Verdict, Vote, compare, judged, pattern, undecided_pairs, verdict

NAME = "verify"
PROMPT, PURPOSE = "same_answer", "judgements"
STRENGTHS = ("limits_only", "bubblewrap", "sandlock")  # the weakest first
_STRING = T.StringType()
COMPARED = T.StructType(
    [
        *(T.StructField(name, _STRING) for name in ("example_id", "split", "problem", "votes", "compared", "pairs")),
        T.StructField("asked", T.ArrayType(_STRING)),  # the completion ids of what the judge is asked, one for each of `pairs`
    ]
)


def rounds(hub: Hub) -> Rounds:
    """A batch of the pairs of answers that no rule can tell and that a verdict hangs on, if there is a judge; then the verdicts."""
    settings = hub.config.verification
    if not settings.solvers:
        return {}
    with hub.store.scope(NAME) as materialise:
        compared = materialise(compare_votes(hub), "compared")
        if settings.judge is not None:
            batch = _batch(hub, compared)
            batch_rows = materialise(batch.requests, "pairs")
            if not batch_rows.isEmpty():
                yield RequestBatch(NAME, PURPOSE, batch_rows, batch.model, batch.prompts, parse=False)
        made = materialise(verdicts(compared, hub.store.table("completions"), hub.config), "verdicts")
        rows = made.withColumn("run_id", F.lit(hub.run_id)).select(*schemas.VERDICTS.names)
        return {"verdicts": hub.store.insert_new(rows, "verdicts", stored=True)}


def compare_votes(hub: Hub) -> DataFrame:
    """COMPARED: the problems without a verdict by today's settings that all solvers who were to be asked have answered.

    votes, compared, pairs: JSON.
    """
    config, settings = hub.config, hub.config.verification
    known = hub.store.table("verdicts").where(F.col("verification") == rests_on(config)).select("example_id")
    problems = solve.chosen_problems(hub).join(known, on="example_id", how="left_anti")
    count, judge = len(settings.solvers), settings.judge
    completion_id = None if judge is None else prompts.load(PROMPT).completion_ids(config.models[judge])

    def compared(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        votes, ballots = solve.votes_of(row), sorted(row["votes"], key=lambda one: one["position"])
        needed = _prefix(votes, settings.min_agree)
        if needed is None and len(votes) < count:
            return  # a solver has not answered yet
        votes, ballots = votes[:needed], ballots[:needed]
        found = verdict(votes, settings.min_agree, compare(votes))
        pairs = undecided_pairs(found) if completion_id is not None else []
        yield {
            **{name: row[name] for name in ("example_id", "split", "problem")},
            "votes": ids.canonical_json(ballots),
            "compared": ids.canonical_json([[*pair, one.equal, one.layer] for pair, one in found.compared.items()]),
            "pairs": ids.canonical_json(pairs),
            "asked": [_request(row, votes, pair, completion_id)["completion_id"] for pair in pairs],
        }

    votes = solve.ballots(hub, problems, settings.solvers)
    return map_rows(problems.join(votes, on="example_id", how="inner"), compared, COMPARED)


def _prefix(votes: list[Vote], min_agree: int) -> int | None:
    """The number of solvers, in their order, whose votes decide; None where they do not."""
    comparisons = compare(votes)
    for count in range(min_agree, len(votes) + 1):
        among = {pair: one for pair, one in comparisons.items() if pair[1] < count}
        if verdict(votes[:count], min_agree, among).decided:
            return count
    return None


def _request(row: Mapping[str, Any], votes: list[Vote], pair: Pair, completion_id: Any) -> dict[str, Any]:
    first, second = sorted(str(votes[position].answer) for position in pair)
    number = ids.seed(first, second) % (2**31 - 1)
    return request_row(
        NAME, row["example_id"], number, PROMPT, completion_id, {"problem": row["problem"], "first": first, "second": second}
    )


def _batch(hub: Hub, compared: DataFrame) -> RequestBatch:
    """The questions to the judge."""
    config, judge = hub.config, str(hub.config.verification.judge)
    completion_id = prompts.load(PROMPT).completion_ids(config.models[judge])

    def request(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        votes = _votes(row)
        for pair in orjson.loads(row["pairs"]):
            yield _request(row, votes, tuple(pair), completion_id)

    return RequestBatch(
        NAME, PURPOSE, map_rows(compared, request, schemas.REQUESTS), config.models[judge], prompts.by_name(PROMPT), parse=False
    )


def _votes(row: Mapping[str, Any]) -> list[Vote]:
    return solve.votes_of({"votes": orjson.loads(row["votes"])})


def verdicts(compared: DataFrame, completions: DataFrame, config: Config) -> DataFrame:
    """COMPARED and COMPLETIONS -> VERDICTS. What waits for the judge gives no row."""
    settings, basis = config.verification, rests_on(config)
    wanted = compared.select("example_id", F.explode("asked").alias("completion_id")).distinct()
    final = completions.where("final").select("completion_id", "text", "error_kind")
    answered = wanted.join(final, on="completion_id", how="inner")
    said = answered.groupBy("example_id").agg(F.collect_list(F.struct("completion_id", "text", "error_kind")).alias("said"))

    def concluded(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        answers = {one["completion_id"]: _same(one["text"], one["error_kind"]) for one in row["said"] or ()}
        if answers.keys() != set(row["asked"]):
            return
        rules = {(a, b): Equivalence(equal, layer) for a, b, equal, layer in orjson.loads(row["compared"])}
        asked = zip(map(tuple, orjson.loads(row["pairs"])), row["asked"], strict=True)
        told = {pair: same for pair, name in asked if (same := answers[name]) is not None}
        votes = _votes(row)
        found = verdict(votes, settings.min_agree, judged(rules, told))
        yield {"example_id": row["example_id"], "verification": basis, "split": row["split"], **_columns(found, votes, row)}

    return map_rows(compared.join(said, on="example_id", how="left"), concluded, schemas.VERDICTS)


def _columns(found: Verdict, votes: list[Vote], row: Mapping[str, Any]) -> dict[str, Any]:
    walls = [str(votes[position].strength) for position in found.agreed if votes[position].strength is not None]
    evidence = {
        "votes": orjson.loads(row["votes"]),
        "compared": [[*pair, one.equal, one.layer] for pair, one in found.compared.items()],
    }
    return {
        "verdict": found.outcome,
        "answer": found.answer,
        "votes": len(votes),
        "agreed": len(found.agreed),
        "layer": found.layer,
        "strength": min(walls, key=STRENGTHS.index, default=None),
        "pattern": pattern(found, votes),
        "evidence": storable(ids.canonical_json(evidence)),
    }


def _same(text: str | None, error_kind: str | None) -> bool | None:
    value, reason, _ = json_answers.read(text, error_kind, None, json_answers.check(prompts.load(PROMPT).schema or {}))
    return None if reason is not None else bool(value["same"])


def rests_on(config: Config) -> str:
    """The settings by which verdicts hold, as the table keeps them."""
    settings = config.verification
    return ids.canonical_json(
        {
            "solvers": [solve.solver_name(solver, config) for solver in settings.solvers],
            "min_agree": settings.min_agree,
            "judge": None if settings.judge is None else config.models[settings.judge].model,
        }
    )


def models(config: Config) -> Iterator[ModelUse]:
    """The judge."""
    if config.verification.judge is not None and config.verification.solvers:
        yield ModelUse(config.verification.judge, prompts=(prompts.load(PROMPT),))


def estimate(hub: Hub) -> list[Estimate]:
    """What a judge would be asked of the solutions there are."""
    settings = hub.config.verification
    if settings.judge is None or not settings.solvers:
        return []
    with hub.store.scope(f"{NAME}-estimate") as materialise:
        batch = _batch(hub, materialise(compare_votes(hub), "compared"))
        return [estimate_batch(hub.store, batch, find_pending(hub.store, batch))]


def progress(hub: Hub) -> Iterator[str]:
    """Of the verdicts by today's settings: how many problems are agreed on, and how many of those are right by the rates of agreement."""
    settings = hub.config.verification
    if not settings.solvers:
        return
    found = hub.store.table("verdicts").where(F.col("verification") == rests_on(hub.config))
    rows = found.groupBy("verdict", "pattern").count().collect()
    total, agreed = sum(row["count"] for row in rows), sum(row["count"] for row in rows if row.verdict == "agreed")
    if not total:
        return
    others = Counter({row.verdict: 0 for row in rows})
    for row in rows:
        others[row.verdict] += row["count"]
    rest = ", ".join(f"{count:,} {name}" for name, count in sorted(others.items()) if name != "agreed")
    yield f"solvers agree on {agreed:,} of {total:,} problems ({agreed / total:.0%}){f'; {rest}' if rest else ''}"
    seen: Counter[str] = Counter()
    for row in rows:
        seen[row.pattern or ""] += row["count"]
    precision = precision_of_agreed(seen, settings.min_agree)
    if precision is not None:
        low, middle, high = (f"{value:.1%}" for value in (precision.low, precision.estimate, precision.high))
        yield f"of the agreed answers {middle} are right, as the solvers' rates of agreement tell ({precision.level:.0%}: {low} to {high})"


STAGE = Stage(
    name=NAME,
    about="compares the solvers' answers, by rules and where these cannot tell by a judge, which it buys: a verdict for each problem",
    writes=("verdicts",),
    rounds=rounds,
    models=models,
    estimate=estimate,
    progress=progress,
    texts=(TextColumns("verdicts", "example_id", ("answer", "evidence"), "example"),),
)
