"""A line of JSON as it is, or a reason why not: the one reader of jsonl that people give us."""

import json
from typing import Any

import orjson

from personahub.text import storable

_INEXACT = 2.0**63


def parse(line: bytes) -> dict[str, Any]:
    """The object in a line. Raises ValueError, which says what is wrong.

    Whole numbers are exact at any length. NaN and infinities, which Python's json writes, are floats; half of a surrogate pair is "?".
    """
    try:
        record = orjson.loads(line)
        if _may_be_rounded(record):
            record = json.loads(line)
    except orjson.JSONDecodeError as error:
        record = _lenient(line, str(error))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    return record


def _lenient(line: bytes, refused: str) -> Any:
    try:
        return _storable(json.loads(line.decode()))
    except (ValueError, RecursionError):
        raise ValueError(refused) from None


def _may_be_rounded(value: Any) -> bool:
    """Whether it holds a float that may stand for a whole number of more than 64 bits."""
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, float):
            if abs(value) >= _INEXACT:
                return True
        elif isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list):
            left += value
    return False


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {_storable(key): _storable(each) for key, each in value.items()}
    return [_storable(each) for each in value] if isinstance(value, list) else value
