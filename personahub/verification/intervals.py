"""Sets of numbers: intervals in brackets, chains of inequalities, and unions of them."""

import re
from fractions import Fraction
from typing import NamedTuple

from personahub.verification.numbers import number

_BRACKETED = re.compile(r"([(\[])\s*([^,\[\]]+?)\s*,\s*([^,\[\]]+?)\s*([)\]])")
_CHAIN = re.compile(r"(.+?)\s*(<=|>=|<|>)\s*(.+?)(?:\s*(<=|>=|<|>)\s*(.+))?")
_VARIABLE = re.compile(r"\\?[a-zA-Z](?:_\{?\w+\}?)?")
_END = float("inf")

Bound = tuple[Fraction | float | str, bool]  # a value, and whether it belongs to the set


class Spans(NamedTuple):
    """certain: by its notation it can be nothing else; (1, 2) may be a point."""

    spans: frozenset[tuple[Bound, Bound]]
    certain: bool


def parse(text: str) -> Spans | None:
    """The set that the whole text describes, or None."""
    text = re.sub(r"^\\?[a-zA-Z]\s+in\s+", "", text).strip()
    pieces = re.split(r"\s+(?:U|or|and/or)\s+|\s*,\s*(?=[a-zA-Z]\s*[<>])", text)
    found = [_bracketed(piece.strip()) or _chain(piece.strip()) for piece in pieces]
    if not found or None in found:
        return None
    spans = [span for span, _ in found]  # type: ignore[misc]
    return Spans(frozenset(spans), len(spans) > 1 or found[0][1])  # type: ignore[index]


def _bracketed(text: str) -> tuple[tuple[Bound, Bound], bool] | None:
    if not (found := _BRACKETED.fullmatch(text)):
        return None
    low, high = _value(found[2]), _value(found[3])
    if low is None or high is None:
        return None
    endless = _END in (low, high) or -_END in (low, high)
    opened, closed = found[1] == "[", found[4] == "]"
    certain = endless or opened != closed
    return ((low, opened and low != -_END), (high, closed and high != _END)), certain


def _chain(text: str) -> tuple[tuple[Bound, Bound], bool] | None:
    """An inequality or two: a < x <= b, x > a, a < x."""
    if not (found := _CHAIN.fullmatch(text)):
        return None
    left, sign, middle, second, right = found.groups()
    if second is None:
        if _VARIABLE.fullmatch(middle) and not _VARIABLE.fullmatch(left):
            left, sign, middle = middle, _turned(sign), left
        value = _value(middle)
        if value is None or not _VARIABLE.fullmatch(left):
            return None
        bound: Bound = (value, "=" in sign)
        return (((-_END, False), bound) if "<" in sign else (bound, (_END, False))), True
    low, high = _value(left), _value(right)
    if low is None or high is None or not _VARIABLE.fullmatch(middle) or sign[0] != second[0]:
        return None
    bounds = ((low, "=" in sign), (high, "=" in second))
    return (bounds if "<" in sign else (bounds[1], bounds[0])), True


def _turned(sign: str) -> str:
    return sign.replace("<", "#").replace(">", "<").replace("#", ">")


def _value(text: str) -> Fraction | float | str | None:
    """A number, an infinity, or an expression as it stands."""
    text = text.strip()
    if re.fullmatch(r"[+]?\s*(?:inf|oo|infinity)", text):
        return _END
    if re.fullmatch(r"-\s*(?:inf|oo|infinity)", text):
        return -_END
    value = number(text)
    if value is not None:
        return value
    return re.sub(r"\s+", "", text) if re.search(r"\\(?:sqrt|frac|pi)|sqrt|pi\b", text) else None
