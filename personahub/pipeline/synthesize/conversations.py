"""The part of the stage `synthesize` that makes conversations: a purchase a turn, over all conversations that go on."""

from collections import Counter
from functools import reduce

from pyspark.sql import DataFrame

from personahub import synthesis
from personahub.buy import Order, buy
from personahub.pipeline.hub import Hub
from personahub.pipeline.paid import PAID, finish, insert_held
from personahub.pipeline.synthesize.candidates import people_of
from personahub.pipeline.synthesize.moderation import moderated
from personahub.synthesis import conversation

HELD = "synthesize.conversations"


def run(hub: Hub) -> dict[str, int]:
    """Returns what was bought (calls, reused, failed) and the rows of examples and rejects that are new.

    Each turn is bought, and what was said before is read from the ledger: a run that goes on buys what is missing.
    """
    paid, config, counts = PAID[synthesis.STAGE], hub.config, Counter[str]()
    finish(hub, HELD, paid.split, paid.tables)
    table, scratch = hub.store.table, list[str]()

    def materialise(rows: DataFrame, name: str) -> DataFrame:
        scratch.append(f"conversations.{name}")
        return hub.store.materialise(rows, scratch[-1])

    try:
        going, ended = materialise(conversation.begin(table("examples"), people_of(hub), config), "first"), list[DataFrame]()
        for number in range(conversation.passes(config)):
            asked = materialise(conversation.ask(going, config, number), f"asked-{number}")
            if asked.isEmpty():
                break
            model = config.models[conversation.model_of(config, number)]
            order = Order(synthesis.STAGE, conversation.requests(asked, number), model, conversation.prompts_of(number))
            bought = buy(hub.store, config, hub.run_id, order, hub.ui, hub.lease)
            counts.update(calls=bought.calls, reused=bought.reused, failed=bought.failed)
            said = materialise(conversation.advance(asked, table("completions"), number), f"said-{number}")
            going, ended = said.where("not over"), [*ended, said.where("over")]
        parsed = moderated(hub, conversation.end(reduce(DataFrame.unionByName, ended, going), config))
        return {**counts, **insert_held(hub, HELD, paid.split, paid.tables, hub.store.hold(parsed, HELD))}
    finally:
        hub.store.drop_scratch(*scratch)
