"""Examples for experts to read, and what they found: `sample examples` and `import verdicts`."""

from datetime import datetime, timezone

from pyspark.sql import functions as F

from personahub.errors import InputError
from personahub.figures import review
from personahub.storage.hub import Hub
from personahub.storage.views import last_verdicts, live_examples


def sheet(hub: Hub, n: int, seed: int) -> str:
    """A CSV of `n` examples with empty columns for verdict and note, always the same ones. Raises InputError if there are none."""
    examples = live_examples(hub.store.table)
    if examples.isEmpty():
        raise InputError("the hub has no examples to read: make some with `personahub run synthesize`")
    return review.draw(examples, hub.store.table("personas"), n, seed)


def record(hub: Hub, text: str, expert: str) -> dict[str, int]:
    """A sheet that was filled in. What an expert says of an example again takes the place of what was said. Returns how many verdicts were
    read, how many of them are valid, and how many rows have none.

    Raises InputError as `review.read` does, and for an unknown example; then nothing is recorded.
    """
    found, blank = review.read(text)
    examples = hub.store.table("examples").select("example_id", "task").where(F.col("example_id").isin(list(found)))
    tasks = {row.example_id: row.task for row in examples.collect()}
    for name, one in found.items():
        if name not in tasks:
            raise InputError(f"{one['where']}: the hub has no example {name!r}: was the sheet drawn from another hub?")
    now = datetime.now(timezone.utc)
    rows = [(name, tasks[name], expert, one["verdict"], one["note"], hub.run_id, now) for name, one in found.items()]
    if rows:
        hub.store.record(rows, "reviews")
    return {"verdicts": len(rows), "valid": sum(one["verdict"] == "valid" for one in found.values()), "blank": blank}


def validity(hub: Hub) -> dict[str, review.Validity]:
    """By task."""
    return review.rates(last_verdicts(hub.store.table).select("example_id", "task", "verdict"))
