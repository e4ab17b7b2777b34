"""The stage `solve`: what several solvers answer to the problems that were made (paper, section 4.1). The votes; `verify` counts them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

import orjson
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from personahub import ids, prompts, sandbox, schemas
from personahub.config import Config, Solver
from personahub.errors import ConfigError
from personahub.inference import RequestBatch, estimate_at_most, find_pending
from personahub.inference import estimate as estimate_batch
from personahub.llm import json_answers
from personahub.rows import map_rows
from personahub.sandbox.programs import NO_WALL
from personahub.stages.requests import request_row
from personahub.stages.stage import ModelUse, Rounds, Stage, TextColumns
from personahub.stages.synthesize.transform import text_field
from personahub.storage.hub import Estimate, Hub
from personahub.storage.views import valid_examples
from personahub.text import storable
from personahub.verification.votes import Vote, compare, verdict

NAME = "solve"
TASKS = ("math", "logic")
PROMPTS = {"direct": "solve_direct", "program": "solve_program"}
PRINTED = {"MISSING": "missing", "CONTRADICTORY": "contradictory"}  # by programs, in place of an answer
MAX_ANSWER = 1000  # characters
_STRING = T.StringType()
PROBLEMS = T.StructType([T.StructField(name, _STRING) for name in ("example_id", "split", "problem")])
PARSED = T.StructType([field for field in schemas.SOLUTIONS if field.name != "run_id"])
_DECIDED = T.StructType([T.StructField("example_id", _STRING), T.StructField("decided", T.BooleanType())])


def rounds(hub: Hub) -> Rounds:
    """A batch a solver. The first min_agree solve all problems; each further one those that the solvers before it leave undecided."""
    settings, saved = hub.config.verification, 0
    if not settings.solvers:
        return {}
    with hub.store.scope(NAME) as materialise:
        problems = materialise(chosen_problems(hub), "problems")
        for number, solver in enumerate(settings.solvers):
            asked = problems
            if number >= settings.min_agree:
                votes = ballots(hub, problems, settings.solvers[:number])
                judged = materialise(decided(votes, number, settings.min_agree), f"after-{number}")
                asked = problems.join(judged.where("not decided"), on="example_id", how="left_semi")
                saved += judged.where("decided").count()
            yield _batch(hub, asked, solver)
    return {"solver_calls_saved": saved}


def _batch(hub: Hub, problems: DataFrame, solver: Solver) -> RequestBatch:
    model, asked_by = hub.config.models[solver.model], prompts.by_name(PROMPTS[solver.method])
    return RequestBatch(NAME, purpose_of(solver), requests(problems, hub.config, solver), model, asked_by)


def purpose_of(solver: Solver) -> str:
    alias = re.sub(r"[^\w-]+", "-", solver.model)
    return f"{'answers' if solver.method == 'direct' else 'programs'} of {alias}"


def chosen_problems(hub: Hub) -> DataFrame:
    """PROBLEMS: of the valid examples of math and logic those that verification.of names."""
    config, settings = hub.config, hub.config.verification
    fields = {task: text_field(task, config) for task in TASKS}
    examples = valid_examples(hub.store.table).where(F.col("task").isin(list(TASKS)))

    def problem(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        split = split_of(row["persona_id"], settings.test_share)
        text = orjson.loads(row["content"]).get(fields[row["task"]]) if row["content"] else None
        if text and (settings.of == "all" or split == "test"):
            yield {"example_id": row["example_id"], "split": split, "problem": text}

    return map_rows(examples.select("example_id", "persona_id", "task", "content"), problem, PROBLEMS)


def split_of(persona_id: str, test_share: float) -> str:
    """Test or train: all examples of a persona are on one side, and a larger share holds out the same ones and more."""
    return "test" if ids.seed("split", persona_id) < test_share * 2**64 else "train"


def solver_name(solver: Solver, config: Config) -> str:
    return f"{solver.method}/{config.models[solver.model].model}"


def requests(problems: DataFrame, config: Config, solver: Solver) -> DataFrame:
    """PROBLEMS -> REQUESTS to one solver."""
    name = PROMPTS[solver.method]
    completion_id = prompts.load(name).completion_ids(config.models[solver.model])
    number = ids.seed(solver_name(solver, config)) % (2**31 - 1)  # the same whatever other solvers there are

    def request(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        yield request_row(NAME, row["example_id"], number, name, completion_id, {"problem": row["problem"]})

    return map_rows(problems, request, schemas.REQUESTS)


def parse(hub: Hub, batch: RequestBatch, completions: DataFrame) -> DataFrame:
    """REQUESTS and COMPLETIONS (final rows) -> PARSED, one row each; programs run here, on whatever machine parses.

    A program that no sandbox is there for gives no row: the next run tries it again.
    """
    final = completions.where("final").select("completion_id", "model", "text", "error_kind", "error_message")
    limits_only = hub.config.verification.sandbox == "limits_only"
    methods = {prompt: method for method, prompt in PROMPTS.items()}

    def solution(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        method = methods[row["prompt_name"]]
        found = solved(method, row["text"], row["error_kind"], row["error_message"], limits_only=limits_only)
        if found.get("status") != "refused":
            same = {"example_id": row["source_id"], "completion_id": row["completion_id"], "model": row["model"]}
            yield {**same, "method": method, "solver": f"{method}/{row['model']}", **found}

    asked = batch.requests.select("source_id", "completion_id", "prompt_name")
    return map_rows(asked.join(final, on="completion_id", how="inner"), solution, PARSED)


def solved(
    method: str, text: str | None, error_kind: str | None, error_message: str | None, *, limits_only: bool = False
) -> dict[str, Any]:
    """One final completion -> the columns of PARSED that it decides: an answer, conditions that allow none, or the reason for neither."""
    prompt = prompts.load(PROMPTS[method])
    value, reason, detail = json_answers.read(text, error_kind, error_message, json_answers.check(prompt.schema or {}))
    if reason is not None:
        return _unsolved(reason, detail)
    if method == "direct":
        return _answered(value["answer"], value["conditions"])
    done = sandbox.run_program(value["program"], limits_only=limits_only)
    ran = {"program": storable(value["program"]), "status": done.status, "strength": done.strength}
    if done.status != "ok":
        return {**ran, **_unsolved(f"program_{done.status}", done.stderr[-500:])}
    last = (done.stdout.strip().splitlines() or [""])[-1].strip()
    return {**ran, **_answered("" if last in PRINTED else last, PRINTED.get(last, "complete"))}


def _answered(answer: str, conditions: str) -> dict[str, Any]:
    answer = answer.strip()
    if conditions != "complete":
        return {"conditions": conditions}
    if not answer or len(answer) > MAX_ANSWER:
        return _unsolved("no_answer" if not answer else "long_answer", storable(answer, 500))
    return {"answer": storable(answer), "conditions": conditions}


def _unsolved(reason: str, detail: str | None) -> dict[str, Any]:
    return {"conditions": "complete", "reason": reason, "detail": storable(detail, 500)}


def split(parsed: DataFrame, run_id: str) -> tuple[DataFrame]:
    """PARSED -> (solutions,)."""
    return (parsed.withColumn("run_id", F.lit(run_id)).select(*schemas.SOLUTIONS.names),)


def ballots(hub: Hub, problems: DataFrame, solvers: Sequence[Solver]) -> DataFrame:
    """PROBLEMS -> example_id, votes: what these solvers, as they are configured now, have answered."""
    asked = [
        requests(problems, hub.config, solver).select(
            F.col("source_id").alias("example_id"), "completion_id", F.lit(at).alias("position")
        )
        for at, solver in enumerate(solvers)
    ]
    solutions = hub.store.table("solutions")
    rows = reduce(DataFrame.unionByName, asked).join(solutions, on=["example_id", "completion_id"], how="inner")
    vote = F.struct("position", "solver", "method", "answer", "conditions", "strength", "completion_id")
    return rows.groupBy("example_id").agg(F.collect_list(vote).alias("votes"))


def votes_of(row: Mapping[str, Any]) -> list[Vote]:
    """A row of `ballots` -> its votes, in the order of the solvers."""
    fields = ("solver", "method", "answer", "conditions", "strength")
    return [Vote(**{name: one[name] for name in fields}) for one in sorted(row["votes"], key=lambda one: one["position"])]


def decided(votes: DataFrame, solvers: int, min_agree: int) -> DataFrame:
    """example_id, decided: of the problems that so many solvers have all answered, or failed at, whether a further vote is not needed."""

    def tell(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        cast = votes_of(row)
        if len(cast) == solvers:
            yield {"example_id": row["example_id"], "decided": verdict(cast, min_agree, compare(cast)).decided}

    return map_rows(votes, tell, _DECIDED)


def check(config: Config) -> None:
    """Raises ConfigError where programs are to run and there is no sandbox for them."""
    settings = config.verification
    programs = settings.sandbox == "auto" and any(solver.method == "program" for solver in settings.solvers)
    if programs and sandbox.run_program("print(1)").status == "refused":
        raise ConfigError(NO_WALL)


def models(config: Config) -> Iterator[ModelUse]:
    """Those of the solvers."""
    for solver in config.verification.solvers:
        yield ModelUse(solver.model, prompts=(prompts.load(PROMPTS[solver.method]),))


def estimate(hub: Hub) -> list[Estimate]:
    """The first solvers exactly, on the problems there are; the others at most."""
    settings, found = hub.config.verification, list[Estimate]()
    if not settings.solvers:
        return found
    problems = chosen_problems(hub)
    for number, solver in enumerate(settings.solvers):
        batch = _batch(hub, problems, solver)
        pending = find_pending(hub.store, batch)
        if number < settings.min_agree:
            found.append(estimate_batch(hub.store, batch, pending))
        else:
            found.append(estimate_at_most(hub.store, NAME, batch.purpose, batch.model, batch.prompts, pending.calls))
    return found


def preview(hub: Hub, n: int) -> Rounds:
    """The problems of the first solver."""
    solvers = hub.config.verification.solvers
    return _batch(hub, chosen_problems(hub), solvers[0]) if solvers else None
    yield


STAGE = Stage(
    name=NAME,
    about="buys the answers of several solvers to the problems of math and logic (`verification.solvers`), and runs their programs",
    writes=("solutions",),
    rounds=rounds,
    parse=parse,
    split=split,
    parsed=("solutions", "example_id"),
    check=check,
    models=models,
    estimate=estimate,
    preview=preview,
    texts=(TextColumns("solutions", "example_id", ("answer", "program", "detail"), "example"),),
)
