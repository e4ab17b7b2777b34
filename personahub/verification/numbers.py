"""Numbers as people write them: digits, fractions, percent, powers of ten, and English words."""

import re
from fractions import Fraction

_GROUPED = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_DECIMAL = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?")
_MIXED = re.compile(r"([+-]?)(\d+)\s+(\d+)\s*/\s*(\d+)")
_OVER = re.compile(r"(.+?)\s*/\s*(.+)")
_FRACTION = re.compile(r"([+-]?)\s*(?:(\d+)\s*)?\\frac\s*(?:\{([^{}]+)\}\s*\{([^{}]+)\}|(\d)\s*(\d))")
_POWER_OF_TEN = re.compile(r"([+-]?[\d.,]+)\s*\*\s*10\s*\^\s*\{?([+-]?\d{1,3})\}?")

_ONES = "zero one two three four five six seven eight nine ten".split()
_TEENS = "eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_SMALL = {word: value for value, word in enumerate([*_ONES, *_TEENS])} | {word: 10 * at for at, word in enumerate(_TENS, start=2)}
_LARGE = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS = {
    "half": 2, "halves": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "twelfth": 12, "hundredth": 100, "thousandth": 1000,
}  # fmt: skip


def number(text: str) -> Fraction | None:
    """The number that the whole text is, or None. A percentage is a share: 50 % is 1/2."""
    text = text.strip()
    if not text or len(text) > 200:
        return None
    if share := re.fullmatch(r"(.*?)\s*(?:%|per\s?cent|percent)", text, re.IGNORECASE):
        value = number(share[1])
        return None if value is None else value / 100
    return _digits(text) if any(map(str.isdigit, text)) else _words(text.casefold())


def _digits(text: str) -> Fraction | None:
    text = re.sub(r"(?<=\d)[ _](?=\d{3}\b)(?![\d ]*/)", "", text)
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    if _DECIMAL.fullmatch(text):
        return Fraction(text)
    if found := _POWER_OF_TEN.fullmatch(text):
        base = number(found[1])
        return None if base is None else base * Fraction(10) ** int(found[2])
    if found := re.fullmatch(r"([+-]?)10\s*\^\s*\{?([+-]?\d{1,3})\}?", text):
        return Fraction(10) ** int(found[2]) * (-1 if found[1] == "-" else 1)
    if found := _MIXED.fullmatch(text):
        whole, over, under = int(found[2]), int(found[3]), int(found[4])
        return _signed(found[1], whole + Fraction(over, under)) if under else None
    if found := _FRACTION.fullmatch(text):
        top, bottom = number(found[3] or found[5]), number(found[4] or found[6])
        if top is None or not bottom:
            return None
        return _signed(found[1], int(found[2] or 0) + top / bottom)
    if found := re.fullmatch(r"([\d.,]+)\s+(hundred|thousand|million|billion|trillion|dozen)", text, re.IGNORECASE):
        base, factor = number(found[1]), {"hundred": 100, "dozen": 12, **_LARGE}[found[2].casefold()]
        return None if base is None else base * factor
    if (found := _OVER.fullmatch(text)) and "/" not in found[2]:
        top, bottom = number(found[1].strip("() ")), number(found[2].strip("() "))
        return None if top is None or not bottom else top / bottom
    return None


def _signed(sign: str, value: Fraction) -> Fraction:
    return -value if sign == "-" else value


def _words(text: str) -> Fraction | None:
    if found := re.fullmatch(r"(?:minus|negative)\s+(.+)", text):
        value = _words(found[1])
        return None if value is None else -value
    words = [word for word in re.split(r"[\s-]+", text) if word]
    if "point" in words:
        at = words.index("point")
        whole, digits = _whole(words[:at]), [_SMALL.get(word, 10) for word in words[at + 1 :]]
        if whole is None or not digits or max(digits) > 9:
            return None
        return whole + Fraction(int("".join(map(str, digits))), 10 ** len(digits))
    part = _PARTS.get(words[-1]) or _PARTS.get(words[-1].removesuffix("s")) if words else None
    if part is None:
        return None if words in (["a"], ["an"]) else _whole(words)
    before = words[:-1]
    if "and" in before:  # three and a half
        at = len(before) - 1 - before[::-1].index("and")
        whole, over = _whole(before[:at]), _whole(before[at + 1 :] or ["one"])
    else:
        whole, over = Fraction(0), _whole(before or ["one"])
    return None if whole is None or over is None else whole + over / part


def _whole(words: list[str]) -> Fraction | None:
    total, group, seen = 0, 0, False
    for word in words:
        if word in ("a", "an"):
            value: int | None = 1
        else:
            value = _SMALL.get(word)
        if value is not None:
            # "twenty one" is a number, "one two" is none
            if group % 100 and not (group % 100 >= 20 and group % 10 == 0 and value < 10):
                return None
            group += value
        elif word == "hundred":
            group = (group or 1) * 100
        elif word == "dozen":
            group = (group or 1) * 12
        elif word in _LARGE:
            total, group = total + (group or 1) * _LARGE[word], 0
        elif word != "and" or not seen:
            return None
        seen = True
    return Fraction(total + group) if seen else None
