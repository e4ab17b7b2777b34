"""A review sheet for experts, and what they found (the paper had 200 problems read, of which 193 were valid: section 4.1)."""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub.errors import InputError
from personahub.text import nearest

COLUMNS = ("example_id", "task", "settings", "persona", "example", "verdict", "note")
VERDICTS = ("valid", "invalid")
Z = 1.959964  # of a 95 % interval


@dataclass(frozen=True)
class Validity:
    """Of the examples that were read, how many are valid: no reviewer found them invalid. low, high: Wilson's 95 % interval of the rate."""

    read: int
    valid: int
    rate: float
    low: float
    high: float


def draw(examples: DataFrame, personas: DataFrame, n: int, seed: int) -> str:
    """`n` examples as CSV, drawn by a hash of their ids and the seed, with empty columns for verdict (valid or invalid) and note."""
    order = [F.xxhash64("example_id", F.lit(f"review {seed}")), F.col("example_id")]
    few = examples.orderBy(*order).limit(n).select("example_id", "task", "settings", "persona_id", "content")
    rows = few.join(personas.select("persona_id", "persona"), on="persona_id", how="left").orderBy(*order).collect()
    sheet = io.StringIO()
    lines = csv.writer(sheet)
    lines.writerow(COLUMNS)
    for row in rows:
        lines.writerow([row.example_id, row.task, row.settings, _plain(row.persona), _plain(_readable(row.content)), "", ""])
    return sheet.getvalue()


def read(text: str) -> tuple[dict[str, dict[str, str]], int]:
    """A sheet that was filled in -> by example_id its verdicts (verdict, note, and where it stands), and how many rows have none.

    Its columns may be parted by commas, semicolons or tabs, as spreadsheets save them. Raises InputError, which names the line: a verdict
    that is neither valid nor invalid, an example twice.
    """
    text = text.removeprefix("\ufeff")
    lines = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=text.partition("\n")[0].count))
    try:
        rows = [(f"the sheet, line {lines.line_num}", row) for row in lines]
    except csv.Error as error:
        raise InputError(f"the sheet, line {lines.line_num}, is no CSV: {error}") from None
    if missing := {"example_id", "verdict"} - set(lines.fieldnames or ()):
        raise InputError(f"the sheet has no column {', '.join(sorted(missing))}: its first line names {', '.join(COLUMNS)}")
    found, blank = dict[str, dict[str, str]](), 0
    for where, line in rows:
        name, verdict = (line["example_id"] or "").strip(), (line["verdict"] or "").strip().lower()
        if not verdict:
            blank += 1
            continue
        if verdict not in VERDICTS:
            raise InputError(f"{where}: the verdict {verdict!r} is neither valid nor invalid{nearest(verdict, VERDICTS)}")
        if name in found:
            raise InputError(f"{where}: the example {name} stands twice")
        found[name] = {"verdict": verdict, "note": (line.get("note") or "").strip(), "where": where}
    return found, blank


def rates(verdicts: DataFrame) -> dict[str, Validity]:
    """example_id, task, verdict: those that count -> by task."""
    each = verdicts.groupBy("task", "example_id").agg(F.min(F.col("verdict") == "valid").alias("valid"))
    rows = (
        each.groupBy("task")
        .agg(F.count("*").alias("read"), F.sum(F.col("valid").cast("int")).alias("valid"))
        .orderBy("task")
        .collect()
    )
    return {row.task: found for row in rows if (found := validity(row.read, row.valid)) is not None}


def validity(read: int, valid: int) -> Validity | None:
    """None where nothing was read. The interval is E. B. Wilson's (1927), which holds for few readings and rates near 1, too."""
    if not read:
        return None
    rate, of = valid / read, 1 + Z**2 / read
    middle, half = (rate + Z**2 / (2 * read)) / of, Z * math.sqrt(rate * (1 - rate) / read + Z**2 / (4 * read**2)) / of
    return Validity(read, valid, rate, max(0.0, middle - half), min(1.0, middle + half))


def _readable(content: str) -> str:
    try:
        value = json.loads(content)
    except ValueError:
        return content
    return "\n\n".join(_lines(value)) if isinstance(value, dict) else content


def _lines(value: Mapping[str, Any]) -> Iterable[str]:
    if len(value) == 1:
        yield str(next(iter(value.values())))
        return
    for name, part in value.items():
        yield f"{name}: {part if isinstance(part, str) else json.dumps(part, ensure_ascii=False, indent=1)}"


def _plain(text: str | None) -> str:
    """A spreadsheet takes what begins with these for a formula."""
    return f"'{text}" if text and text[0] in "=+-@\t\r" else text or ""
