"""The purchase alone, for synthesis_cost.py: requests that lie ready are bought, and nothing else is done.

    python benchmarks/bare_purchase.py make|buy REQUESTS KEY=VALUE ...

make: write what `synthesize` would ask in this hub to the folder REQUESTS. buy: `personahub.inference.buy` of what lies there.
"""

import sys

from personahub import pipeline, schemas
from personahub.config import load
from personahub.inference import RequestBatch, buy
from personahub.render.terminal import TerminalUI
from personahub.stages.synthesize import NAME, STAGE
from personahub.stages.synthesize.transform import prompts_of


def main(what: str, requests: str, overrides: list[str]) -> None:
    config = load(overrides=overrides)
    with pipeline.open_hub(config, TerminalUI(yes=True), spend=True) as hub:
        if what == "make":
            made = next(STAGE.rounds(hub)).requests
            made.write.parquet(requests)
            print(f"{made.count():,} requests lie in {requests}")
            return
        ready = hub.spark.read.schema(schemas.REQUESTS).parquet(requests)
        batch = RequestBatch(NAME, "examples", ready, config.models[config.synthesis.model], prompts_of(config), parse=False)
        print(buy(hub, batch))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
