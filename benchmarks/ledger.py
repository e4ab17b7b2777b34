"""A hub whose ledger holds a given number of final answers that nobody asks for: what an anti-join has to look through.

python benchmarks/ledger.py ROOT ROWS
"""

import sys
from collections.abc import Iterator

import pyarrow as pa

from personahub import engines, ids, schemas
from personahub.config import load
from personahub.rows import arrow_schema
from personahub.storage.delta import Store

ANSWER = '{"problem": "' + "Of twelve clocks, each gains one minute more a day than the one before. " * 8 + '"}'


def main(root: str, rows: int) -> None:
    config = load(overrides=[f"root={root}"])
    spark = engines.open_session(config)
    numbers = spark.range(0, rows, 1, max(1, rows // 50_000))
    Store(spark, config).append(numbers.mapInArrow(_answers, schemas.COMPLETIONS), "completions")
    print(f"{rows:,} answers: {root}")


def _answers(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    schema = arrow_schema(schemas.COMPLETIONS)
    for batch in batches:
        yield pa.RecordBatch.from_pylist([_answer(number) for number in batch.column("id").to_pylist()], schema=schema)


def _answer(number: int) -> dict[str, object]:
    asked = {"stage": "synthesize", "source_id": ids.content_id(f"persona {number}"), "sample_index": 0}
    by = {
        "model": "mock",
        "base_url": "none",
        "prompt_name": "math",
        "prompt_version": "0",
        "run_id": "ledger",
        "created_at": number,
    }
    spent = {"prompt_tokens": 230, "completion_tokens": 150, "latency_s": 0.4, "attempts": 1}
    return {"completion_id": ids.content_id(f"answer {number}"), "text": ANSWER, "final": True, **asked, **by, **spent}


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
