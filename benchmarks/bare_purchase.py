"""The purchase alone, for synthesis_cost.py: requests that lie ready are bought, and nothing else is done.

    python benchmarks/bare_purchase.py make|buy REQUESTS KEY=VALUE ...

make: write what `synthesize` would ask in this hub to the folder REQUESTS. buy: `personahub.buy.buy` of what lies there.
"""

import sys

from personahub import pipeline, schemas
from personahub.buy import Order, buy
from personahub.cli.console import TerminalUI
from personahub.config import load
from personahub.pipeline.paid import PAID
from personahub.synthesis import STAGE, prompts_of


def main(what: str, requests: str, overrides: list[str]) -> None:
    config = load(overrides=overrides)
    with pipeline.open_hub(config, TerminalUI(yes=True), spend=True) as hub:
        if what == "make":
            made = PAID[STAGE].order(hub).requests
            made.write.parquet(requests)
            print(f"{made.count():,} requests lie in {requests}")
            return
        ready = hub.spark.read.schema(schemas.REQUESTS).parquet(requests)
        order = Order(STAGE, ready, config.models[config.synthesis.model], prompts_of(config))
        print(buy(hub.store, config, hub.run_id, order, hub.ui, hub.lease))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
