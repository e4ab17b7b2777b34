"""Conversations of several turns (paper, section 4.3): the user's are simulated in persona, the assistant's come from another model.

The first turn is an accepted example of the task `instruction`. Each further turn is one pass over all conversations that go on. A turn's
completion id hangs on the ids of the turns before it, not on their text.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from typing import Any

import orjson
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from personahub import filters, ids, prompts, schemas
from personahub.config import Config
from personahub.inference import PendingRequests, RequestBatch, estimate_at_most
from personahub.llm import json_answers
from personahub.rows import map_rows
from personahub.stages.stage import Counts, Rounds
from personahub.stages.synthesize.moderation import moderated
from personahub.stages.synthesize.persona_selection import chosen_personas
from personahub.stages.synthesize.results import NAME, PARSED, number_of, refused
from personahub.stages.synthesize.tasks import CONVERSATION, FIRST_TURN, choose
from personahub.storage.hub import Estimate, Hub
from personahub.storage.views import Tables, valid_examples
from personahub.text import storable

USER, ASSISTANT = "user_turn", "assistant_turn"

_STRING = T.StringType()
STATE = T.StructType(
    [
        T.StructField("persona_id", _STRING),
        T.StructField("persona", _STRING),
        T.StructField("turn_ids", _STRING),  # JSON: the completion ids of the turns so far
        T.StructField("messages", _STRING),  # JSON: what they say, the user first
        T.StructField("over", T.BooleanType()),  # nothing is asked any more
        T.StructField("reason", _STRING),  # why it is a reject
        T.StructField("detail", _STRING),
        T.StructField("raw", _STRING),
    ]
)
CONVERSATION_REQUESTS = T.StructType(
    [*STATE, *(T.StructField(name, _STRING) for name in ("completion_id", "prompt_name", "variables"))]
)


def rounds(hub: Hub, insert: Callable[[DataFrame], Counts]) -> Rounds:
    """A batch a turn, over all conversations that go on. insert: takes PARSED; returns what it returns.

    What was said before a turn is read from the ledger: a run that goes on buys what is missing.
    """
    config, table = hub.config, hub.store.table
    with hub.store.scope("conversations") as materialise:
        going, ended = materialise(begin(table, chosen_personas(hub), config), "first"), list[DataFrame]()
        for number in range(passes(config)):
            asked = materialise(ask(going, config, number), f"asked-{number}")
            if asked.isEmpty():
                break
            model = config.models[model_of(config, number)]
            yield RequestBatch(NAME, purpose_of(number), requests(asked, number), model, prompts_of(number), parse=False)
            said = materialise(advance(asked, table("completions"), number), f"said-{number}")
            going, ended = said.where("not over"), [*ended, said.where("over")]
        parsed = yield from moderated(hub, end(reduce(DataFrame.unionByName, ended, going), config))
        return insert(parsed)  # before the scratch that it is made of goes


def estimates(hub: Hub, pending: PendingRequests) -> list[Estimate]:
    """The turns at most: each first turn, there or about to be bought, leads to as many as there can be. pending: see `find_pending`."""
    config = hub.config
    if CONVERSATION not in config.synthesis.tasks:
        return []
    keys = [key for key, task in choose(config).items() if task.name == FIRST_TURN]
    first = pending.rows.where(F.col("prompt_name").isin(keys)).count()
    first += begin(hub.store.table, chosen_personas(hub), config).count()
    return turns_at_most(hub, first)


def turns_at_most(hub: Hub, conversations: int) -> list[Estimate]:
    """Of so many conversations: the turns of the assistant, then those of the user."""
    found, count = [], passes(hub.config)
    for first in range(min(2, count)):
        numbers, model = range(first, count, 2), hub.config.models[model_of(hub.config, first)]
        shown = model.max_answer_tokens * sum(number + 1 for number in numbers) / len(numbers)  # of earlier turns, on average
        calls, asked_by = conversations * len(numbers), prompts_of(first)
        found.append(estimate_at_most(hub.store, NAME, purpose_of(first), model, asked_by, calls, shown))
    return found


def purpose_of(number: int) -> str:
    return "turns of the user" if number % 2 else "turns of the assistant"


def passes(config: Config) -> int:
    """How many turns follow the first one."""
    return 2 * config.synthesis.conversation.turns - 1


def model_of(config: Config, number: int) -> str:
    """The name under models of who answers in pass `number`, from 0: the assistant, the user, the assistant, ..."""
    settings = config.synthesis
    return settings.model if number % 2 else settings.conversation.assistant_model or settings.model


def prompts_of(number: int) -> dict[str, prompts.Prompt]:
    return prompts.by_name(USER if number % 2 else ASSISTANT)


def begin(table: Tables, personas: DataFrame, config: Config) -> DataFrame:
    """The hub's tables and personas (persona_id, persona) -> STATE, one row for each valid first turn of these personas, in the mode of
    now, that no conversation of these settings was made of yet.
    """
    of_mode, assistant = F.col("mode") == config.synthesis.mode, config.models[model_of(config, 0)].model
    same = (F.col("settings") == _settings(config)) & (F.col("model") == assistant)
    made = table("examples").where(of_mode & (F.col("task") == CONVERSATION) & same)
    begun = F.from_json("content", "completion_ids array<string>").getField("completion_ids").getItem(0)
    valid = valid_examples(table).where(of_mode & (F.col("task") == FIRST_TURN))
    first = valid.select("persona_id", "completion_id", "content")
    first = first.join(made.select(begun.alias("completion_id")), on="completion_id", how="left_anti")

    def start(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        yield {
            "persona_id": row["persona_id"],
            "persona": row["persona"],
            "turn_ids": ids.canonical_json([row["completion_id"]]),
            "messages": ids.canonical_json([orjson.loads(row["content"])["instruction"]]),
            "over": False,
        }

    return map_rows(first.join(personas.select("persona_id", "persona"), on="persona_id", how="inner"), start, STATE)


def ask(state: DataFrame, config: Config, number: int) -> DataFrame:
    """STATE -> CONVERSATION_REQUESTS: the conversations that go on, each with its request of pass `number`.

    The variables hold the turns' text; the completion id is made of the turns' own completion ids.
    """
    ((name, prompt),) = prompts_of(number).items()
    completion_ids = prompt.completion_ids(config.models[model_of(config, number)])

    def asked(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        said, identity = orjson.loads(row["messages"]), {"turn_ids": orjson.loads(row["turn_ids"])}
        variables: dict[str, Any] = {"messages": messages_of(said)}
        if name == USER:
            identity["persona"] = row["persona"]
            variables = {"persona": row["persona"], "turns": said}
        completion_id = completion_ids(ids.canonical_json(identity), number)
        yield {**row, "completion_id": completion_id, "prompt_name": name, "variables": ids.canonical_json(variables)}

    return map_rows(state.where("not over"), asked, CONVERSATION_REQUESTS)


def requests(asked: DataFrame, number: int) -> DataFrame:
    """CONVERSATION_REQUESTS -> REQUESTS."""
    first = F.get_json_object("turn_ids", "$[0]")
    index = number_of(first, F.lit(number))
    rows = asked.withColumns({"stage": F.lit(NAME), "source_id": F.col("persona_id"), "sample_index": index})
    return rows.select(*schemas.REQUESTS.names)


def advance(asked: DataFrame, completions: DataFrame, number: int) -> DataFrame:
    """CONVERSATION_REQUESTS of pass `number` and COMPLETIONS -> STATE.

    What failed transiently is left out: the next run goes on with it.
    """
    final = completions.where("final").select("completion_id", "text", "error_kind", "error_message")
    return map_rows(asked.join(final, on="completion_id", how="inner"), lambda row: iter([_after(row, number)]), STATE)


def _after(row: Mapping[str, Any], number: int) -> dict[str, Any]:
    state = {name: row[name] for name in STATE.names}
    said, turn_ids = orjson.loads(row["messages"]), orjson.loads(row["turn_ids"])
    message, reason, detail = _message(row, number)
    if reason is not None:
        turn = f"turn {len(said) + 1}"
        return {
            **state,
            "turn_ids": ids.canonical_json([*turn_ids, row["completion_id"]]),
            "over": True,
            "reason": reason,
            "detail": f"{turn}: {detail}" if detail else turn,
            "raw": storable(row["text"]),
        }
    if message is None:
        return {**state, "over": True}
    return {
        **state,
        "turn_ids": ids.canonical_json([*turn_ids, row["completion_id"]]),
        "messages": ids.canonical_json([*said, storable(message)]),
    }


def _message(row: Mapping[str, Any], number: int) -> tuple[str | None, str | None, str | None]:
    """What was said (None: the user has all that was wanted), or a reason and its detail."""
    answer = row["text"], row["error_kind"], row["error_message"]
    if number % 2 == 0:  # free text
        text, error_kind, error_message = answer
        said = text.strip() if text is not None and error_kind is None else ""
        return (said, None, None) if said else (None, error_kind or "empty", error_message)
    value, reason, detail = json_answers.read(*answer, json_answers.check(prompts.load(USER).schema or {}))
    if reason is not None:
        return None, reason, detail
    if value["done"] or not value["message"].strip():
        return None, None, None
    reason, detail = _no_message(value["message"])
    return (value["message"].strip(), None, None) if reason is None else (None, reason, detail)


def _no_message(message: str) -> tuple[str | None, str | None]:
    """Why what the user's model wrote is no message of a user: a refusal, or the prompt's own words."""
    if declined := filters.refusal_in(message):
        return "refusal", declined
    copied = filters.copied_from(message, prompts.load(USER).own_words({}))
    return ("copied_prompt", copied) if copied else (None, None)


def end(state: DataFrame, config: Config) -> DataFrame:
    """STATE after the last pass -> PARSED."""

    def example(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        turn_ids = orjson.loads(row["turn_ids"])
        made = {
            "task": CONVERSATION,
            "mode": config.synthesis.mode,
            "settings": _settings(config),
            "source_id": row["persona_id"],
            "completion_id": turn_ids[-1],
            "model": config.models[model_of(config, 0)].model,
        }
        if row["reason"] is not None:
            yield {**made, **refused(row["persona_id"], turn_ids[-1], row["reason"], row["detail"], row["raw"])}
            return
        content = {"messages": messages_of(orjson.loads(row["messages"])), "completion_ids": turn_ids}
        yield {
            **made,
            "example_id": ids.content_id(ids.canonical_json([CONVERSATION, row["persona_id"], turn_ids])),
            "content": storable(ids.canonical_json(content)),
        }

    return map_rows(state, example, PARSED)


def _settings(config: Config) -> str:
    return ids.canonical_json(
        {"turns": config.synthesis.conversation.turns, "user_model": config.models[config.synthesis.model].model}
    )


def messages_of(said: list[str]) -> list[dict[str, str]]:
    """What was said in turn, as chat messages."""
    return [{"role": "assistant" if at % 2 else "user", "content": text} for at, text in enumerate(said)]
