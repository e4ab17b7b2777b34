"""Whether two short answers say the same, layer by layer; each layer decides only what it is sure of.

Layers, in this order: identical; choice (yes or no, weekdays, months, letters of options); name; ratio; interval; quantity (with units);
number; sequence and set; symbolic (math-verify, in a process that can be killed); undecided. Symbols alone would call 10 km and 10 m
equal, 1,2,3 and 3,2,1 too, and 2 hours and 120 minutes different.
"""

import difflib
import re
from dataclasses import dataclass
from fractions import Fraction

from personahub.verification import intervals, symbolic
from personahub.verification.notation import MAX_CHARACTERS, as_latex, cleaned
from personahub.verification.numbers import number
from personahub.verification.units import MONEY, Quantity, quantity

CLOSE = Fraction(1, 10**6)  # relative: 0.333333 is 1/3, 0.333 is not
_MAX_ITEMS = 200
_DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_MONTHS = "january february march april may june july august september october november december".split()
_CHOICES = (
    {"yes": 1, "true": 1, "correct": 1, "right": 1, "no": 0, "false": 0, "incorrect": 0, "wrong": 0},
    {name[:cut]: at for at, name in enumerate(_DAYS) for cut in (3, 4, len(name))} | {"thurs": 3, "tues": 1},
    {name[:cut]: at for at, name in enumerate(_MONTHS) for cut in (3, 4, len(name))},
)
_OPTION = re.compile(r"(?:option|choice|answer)?\s*\(?([A-E])\)?\.?", re.IGNORECASE)
_RATIO = re.compile(r"([\d.,]+(?:\s*:\s*[\d.,]+)+)")
_TO = re.compile(r"([\d.,]+)\s+to\s+([\d.,]+)")
_CLOCK = re.compile(r"(\d{1,2})(?::(\d{2}))?\s*([ap])\.?\s?m\.?", re.IGNORECASE)
_NAMED = re.compile(r"\\?([A-Za-z](?:_\{?\w+\}?)?)\s*(?:=|:=)\s*([^=<>]+)")
_BRACKETS = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Equivalence:
    """equal: None where no rule can tell, which is a judge's turn. layer: the one that decided, or `undecided`."""

    equal: bool | None
    layer: str


def equivalent(a: str, b: str) -> Equivalence:
    """Whether two answers say the same. Symmetric; never raises, never hangs (a comparison by symbols ends after seconds)."""
    try:
        if not isinstance(a, str) or not isinstance(b, str) or max(len(a), len(b)) > MAX_CHARACTERS:
            return Equivalence(True, "identical") if a == b else Equivalence(None, "undecided")
        first, second = cleaned(a), cleaned(b)
        if not (first and second):
            return Equivalence(True, "identical") if first == second else Equivalence(None, "undecided")
        return _compared(first, second)
    except (ValueError, ArithmeticError, RecursionError, OverflowError, IndexError, KeyError):
        return Equivalence(None, "undecided")


def _compared(a: str, b: str) -> Equivalence:
    """Of two answers in one notation, in one order: so it is symmetric."""
    first, second = _unnamed(*sorted((a, b)))
    return _by_rules(first, second) or _by_symbols(first, second)


def _by_rules(a: str, b: str) -> Equivalence | None:
    if a == b or (_is_words(a) and _is_words(b) and _plain(a) == _plain(b)):
        return Equivalence(True, "identical")
    for layer in (_choice, _ratio, _interval, _number, _quantity, _sequence, _name):
        found = layer(a, b)
        if found is not None:
            return Equivalence(found, layer.__name__.lstrip("_"))
    return None


def _by_symbols(a: str, b: str) -> Equivalence:
    if not (_is_mathematics(a) and _is_mathematics(b)):
        return Equivalence(None, "undecided")
    found = symbolic.equal(as_latex(a), as_latex(b))
    return Equivalence(found, "undecided" if found is None else "symbolic")


# -- layers: True, False, or None where it is not theirs to say ---------------------------------------------------------------------------


def _choice(a: str, b: str) -> bool | None:
    words = a.casefold().rstrip("."), b.casefold().rstrip(".")
    for values in _CHOICES:
        if words[0] in values and words[1] in values:
            return values[words[0]] == values[words[1]]
    options = _OPTION.fullmatch(a), _OPTION.fullmatch(b)
    return options[0][1].casefold() == options[1][1].casefold() if options[0] and options[1] else None


def _name(a: str, b: str) -> bool | None:
    """Two names without a common word are of two; one that holds the other may be the same."""
    if not (_is_name(a) and _is_name(b)):
        return None
    first, second = _plain(a).split(), _plain(b).split()
    if set(first) & set(second) or difflib.SequenceMatcher(None, " ".join(first), " ".join(second)).ratio() > 0.75:
        return None
    return False


def _ratio(a: str, b: str) -> bool | None:
    clocks = _clock(a), _clock(b)
    if None not in clocks:
        return clocks[0] == clocks[1]
    if any(clocks):
        plain = b if clocks[0] else a
        found = re.fullmatch(r"(\d{1,2}):(\d{2})", plain)
        return (clocks[0] or clocks[1]) == int(found[1]) * 60 + int(found[2]) if found else None
    first, second = _parts(a), _parts(b)
    if first is None and second is None:
        return None
    if first is None or second is None:
        other = number(a if first is None else b)
        return None if other is None else False  # 3:4 compares two parts, 3/4 is a share
    if len(first) != len(second):
        return False
    return (
        all(x * second[0] == y * first[0] for x, y in zip(first, second, strict=True))
        if first[0] and second[0]
        else first == second
    )


def _parts(text: str) -> list[Fraction] | None:
    found = _RATIO.fullmatch(text)
    pieces = found[1].split(":") if found else list(_TO.fullmatch(text).groups()) if _TO.fullmatch(text) else []  # type: ignore[union-attr]
    values = [number(piece) for piece in pieces]
    return values if values and None not in values else None  # type: ignore[return-value]


def _clock(text: str) -> int | None:
    """Minutes since midnight, where the time of day is said with am or pm."""
    found = _CLOCK.fullmatch(text)
    if not found or not 1 <= int(found[1]) <= 12:
        return None
    return (int(found[1]) % 12 + 12 * (found[3].casefold() == "p")) * 60 + int(found[2] or 0)


def _interval(a: str, b: str) -> bool | None:
    first, second = intervals.parse(a), intervals.parse(b)
    if first is None or second is None or not (first.certain or second.certain):
        return None
    return first.spans == second.spans


def _quantity(a: str, b: str) -> bool | None:
    first, second = quantity(a), quantity(b)
    if first is None and second is None:
        return None
    if first is None or second is None:
        bare = number(a if first is None else b)
        return None if bare is None else _with_and_without(first or second, bare)  # type: ignore[arg-type]
    if first.counts != second.counts or first.measures != second.measures:
        if first.counts and second.counts:  # of twelve apples and twelve pieces of fruit
            return None if _close(first.value, second.value) else False
        return False
    return _close(first.value, second.value)


def _with_and_without(told: Quantity, bare: Fraction) -> bool:
    """Whether a quantity is meant by a bare number: money is, and so are things that are counted; no unit is to be guessed."""
    counted = told.counts is not None or {name for name, _ in told.measures} <= MONEY
    return counted and _close(told.value, bare)


def _number(a: str, b: str) -> bool | None:
    first, second = number(a), number(b)
    return None if first is None or second is None else _close(first, second)


def _close(a: Fraction, b: Fraction) -> bool:
    return a == b or abs(a - b) <= CLOSE * max(abs(a), abs(b))


def _sequence(a: str, b: str) -> bool | None:
    first, second = _items(a), _items(b)
    if first is None or second is None:
        return None
    (items, unordered), (others, also_unordered) = first, second
    if len(items) != len(others):
        return False
    ordered = _all_equal(items, others)
    if ordered or not (unordered or also_unordered):
        return ordered
    left, unsure = list(others), False
    for item in items:
        found = [(at, _item(item, other)) for at, other in enumerate(left)]
        same = next((at for at, equal in found if equal), None)
        if same is None:
            unsure = unsure or any(equal is None for _, equal in found)
            if not unsure:
                return False
            continue
        left.pop(same)
    return None if unsure else True


def _all_equal(items: list[str], others: list[str]) -> bool | None:
    verdicts = [_item(item, other) for item, other in zip(items, others, strict=True)]
    return False if False in verdicts else None if None in verdicts else True


def _item(a: str, b: str) -> bool | None:
    return _compared(a, b).equal


def _items(text: str) -> tuple[list[str], bool] | None:
    """The items of a list, and whether their order means nothing: in braces, or joined by `or`. None of what is no list."""
    if number(text) is not None:
        return None
    unordered, inner = False, text
    if text[0] in _BRACKETS and text[-1] == _BRACKETS[text[0]] and _closes_last(text):
        unordered, inner = text[0] == "{", text[1:-1].strip()
    pieces = _split(inner)
    if any(re.match(r"or\s|\\text", piece) for piece in pieces[1:]) or re.search(r"\s+or\s+", inner):
        unordered = True
    pieces = [part for piece in pieces for part in re.split(r"(?:^|\s+)(?:and|or|&)\s+", piece)]
    pieces = [_NAMED.sub(r"\2", piece.strip()) if unordered else piece.strip() for piece in pieces if piece.strip()]
    if len(pieces) > _MAX_ITEMS or (len(pieces) < 2 and inner is text) or not pieces:
        return None
    return pieces, unordered


def _split(text: str) -> list[str]:
    """At commas and semicolons outside of brackets."""
    pieces, depth, start = [], 0, 0
    for at, sign in enumerate(text):
        if sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
        elif sign in ",;" and depth == 0:
            pieces.append(text[start:at])
            start = at + 1
    return [*pieces, text[start:]]


def _closes_last(text: str) -> bool:
    """Whether the first bracket is closed by the last one."""
    depth = 0
    for at, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        if depth == 0:
            return at == len(text) - 1
    return False


# -- what a text looks like ---------------------------------------------------------------------------------------------------------------


def _unnamed(a: str, b: str) -> tuple[str, str]:
    """Without the name of a variable that only one of them has, or both: x = 3 is 3, and is not y = 3."""
    first, second = _NAMED.fullmatch(a), _NAMED.fullmatch(b)
    if first and second:
        return (first[2].strip(), second[2].strip()) if first[1] == second[1] else (a, b)
    return first[2].strip() if first else a, second[2].strip() if second else b


def _is_words(text: str) -> bool:
    return bool(re.fullmatch(r"[^\W\d_][^\d_\\{}^=<>+*/|]*", text)) and len(text) > 1


def _is_name(text: str) -> bool:
    words = text.split()
    return 1 <= len(words) <= 4 and all(re.fullmatch(r"[A-ZÀ-Þ][\w'’.-]*[a-zß-ÿ.]", word) for word in words)


def _plain(text: str) -> str:
    """Words without capitals, punctuation and a leading article."""
    return re.sub(r"^(?:the|an?)\s+", "", " ".join(re.findall(r"[\w']+", text.casefold())))


def _is_mathematics(text: str) -> bool:
    """No prose: without commands of LaTeX and names of functions no word of three letters is left; no quantity, no ratio."""
    if quantity(text) is not None or _parts(text) is not None:
        return False
    left = re.sub(r"\\[A-Za-z]+|\b(?:sqrt|sin|cos|tan|cot|sec|csc|log|ln|exp|pi|inf|arcsin|arccos|arctan|abs|mod)\b", " ", text)
    return not re.search(r"[^\W\d_]{3,}", left)
