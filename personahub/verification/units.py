"""Quantities: a number and a unit, alone ("10 km/h") or in parts ("2 hours 30 minutes"), converted exactly."""

import re
from collections import Counter
from fractions import Fraction
from typing import NamedTuple

from personahub.verification.numbers import number

# name -> what it measures, and how many of the first unit of that it is; letters of symbols count in their case, words do not
_SYMBOLS: dict[str, tuple[str, Fraction]] = {}
_NAMES: dict[str, tuple[str, Fraction]] = {}


def _define(measures: str, *units: tuple[str, str, str]) -> None:
    for factor, symbols, names in units:
        for symbol in symbols.split():
            _SYMBOLS[symbol] = measures, Fraction(factor)
        for name in names.split():
            _NAMES[name] = measures, Fraction(factor)


_define(
    "length",
    ("1", "m", "meter metre"), ("1000", "km", "kilometer kilometre"), ("0.01", "cm", "centimeter centimetre"),
    ("0.001", "mm", "millimeter millimetre"), ("1e-6", "um", "micrometer micrometre micron"), ("1e-9", "nm", "nanometer nanometre"),
    ("0.1", "dm", "decimeter decimetre"), ("1609.344", "mi", "mile"), ("0.9144", "yd", "yard"), ("0.3048", "ft", "foot feet"),
    ("0.0254", "", "inch inches"), ("1852", "nmi", ""),
)  # fmt: skip
_define(
    "mass",
    ("1", "kg", "kilogram kilo kilogramme"), ("0.001", "g", "gram gramme"), ("1e-6", "mg", "milligram"), ("1000", "t", "ton tonne"),
    ("0.45359237", "lb lbs", "pound"), ("0.028349523125", "oz", "ounce"),
)  # fmt: skip
_define(
    "time",
    ("1", "s sec", "second"), ("0.001", "ms", "millisecond"), ("1e-6", "us", "microsecond"), ("60", "min mins", "minute"),
    ("3600", "h hr hrs", "hour"), ("86400", "d", "day"), ("604800", "wk", "week"), ("1209600", "", "fortnight"),
)  # fmt: skip
_define("months", ("1", "mo", "month"), ("12", "yr yrs", "year"), ("120", "", "decade"), ("1200", "", "century centuries"))
_define(
    "volume",
    ("1", "L l", "liter litre"), ("0.001", "mL ml cc", "milliliter millilitre"), ("0.01", "cL cl", "centiliter centilitre"),
    ("0.1", "dL dl", "deciliter decilitre"), ("3.785411784", "gal", "gallon"), ("0.946352946", "qt", "quart"),
    ("0.473176473", "pt", "pint"),
    ("0.2365882365", "", "cup"),
)  # fmt: skip
_define("energy", ("1", "J", "joule"), ("1000", "kJ", "kilojoule"), ("3600", "Wh", ""), ("3600000", "kWh", ""), ("4.184", "cal", "calorie"),
        ("4184", "kcal", "kilocalorie"))  # fmt: skip
_define("power", ("1", "W", "watt"), ("1000", "kW", "kilowatt"), ("1e6", "MW", "megawatt"), ("0.001", "mW", "milliwatt"))
_define("force", ("1", "N", "newton"), ("1000", "kN", "kilonewton"))
_define("pressure", ("1", "Pa", "pascal"), ("1000", "kPa", "kilopascal"), ("100000", "", "bar"), ("101325", "atm", "atmosphere"))
_define("frequency", ("1", "Hz", "hertz"), ("1000", "kHz", "kilohertz"), ("1e6", "MHz", "megahertz"), ("1e9", "GHz", "gigahertz"))
_define("charge voltage", ("1", "V", "volt"), ("0.001", "mV", "millivolt"), ("1000", "kV", "kilovolt"))
_define("current", ("1", "A", "ampere amp"), ("0.001", "mA", "milliampere milliamp"))
_define("resistance", ("1", "Ω ohm", "ohm"), ("1000", "kΩ", "kiloohm"))
_define("angle", ("1", "deg", "degree"), ("57.29577951308232087679815481410517", "rad", "radian"))
_define(
    "data",
    ("1", "", "bit"), ("8", "B", "byte"), ("8000", "kB KB", "kilobyte"), ("8e6", "MB", "megabyte"), ("8e9", "GB", "gigabyte"),
    ("8e12", "TB", "terabyte"),
)  # fmt: skip
_define("area", ("1", "", "hectare"), ("0.40468564224", "", "acre"))
_define("dollars", ("1", "$ USD", "dollar"), ("0.01", "¢", "cent"))
_define("euros", ("1", "€ EUR", "euro"))
_define("British pounds", ("1", "£ GBP", ""))
_define("yen", ("1", "¥ JPY", "yen"))
_define("rupees", ("1", "₹ INR", "rupee"))

MONEY = frozenset({"dollars", "euros", "British pounds", "yen", "rupees"})
_AS = {  # what measures the same in other units: how many of the product it is
    "volume": ({"length": 3}, Fraction("0.001")),
    "area": ({"length": 2}, Fraction(10_000)),
    "energy": ({"mass": 1, "length": 2, "time": -2}, Fraction(1)),
    "power": ({"mass": 1, "length": 2, "time": -3}, Fraction(1)),
    "force": ({"mass": 1, "length": 1, "time": -2}, Fraction(1)),
    "pressure": ({"mass": 1, "length": -1, "time": -2}, Fraction(1)),
    "frequency": ({"time": -1}, Fraction(1)),
}
_NUMBER = r"[+-]?\s*(?:\d[\d,]*(?:\.\d+)?(?:[eE][+-]?\d+)?(?:\s*/\s*\d+)?|\.\d+)"
_PART = re.compile(rf"({_NUMBER}(?:\s+\d+\s*/\s*\d+)?)\s*([A-Za-zΩµμ°][A-Za-zΩ]*\.?)(?=$|[\s,\d])\s*(?:,\s*)?(?:and\s+)?")
_FRACTION = r"[+-]?\d*\s*\\frac\s*\{[^{}]+\}\s*\{[^{}]+\}"
_TIMES = r"(?:\s+(?:dozen|hundred|thousand|million|billion|trillion))?"
_QUANTITY = re.compile(
    rf"((?:{_NUMBER}|{_FRACTION}|.*?[\d%}}]){_TIMES})\s*([^\d\s.,/{{].*)|([A-Za-z][A-Za-z -]*?)\s+([A-Za-z].*)"
)
_CURRENCY = re.compile(r"([+-]?)\s*([$€£¥₹])\s*(.+)")
_TEMPERATURE = re.compile(r"(.+?)\s*(?:degrees?\s*)?\b(C|F|K|celsius|fahrenheit|kelvins?)", re.IGNORECASE)


class Quantity(NamedTuple):
    """A value in the first unit of what is measured; `measures`: each with its power. A noun that no unit has counts things."""

    value: Fraction
    measures: frozenset[tuple[str, int]]
    counts: str | None = None


def quantity(text: str) -> Quantity | None:
    """The quantity that the whole text is, or None where it has no unit."""
    text = text.strip().replace("µ", "u").replace("μ", "u")
    return _money(text) or _temperature(text) or _in_parts(text) or _with_unit(text)


def _money(text: str) -> Quantity | None:
    if not (found := _CURRENCY.fullmatch(text)):
        return None
    value = number(found[3])
    measures = _SYMBOLS[found[2]][0]
    return None if value is None else Quantity(-value if found[1] == "-" else value, frozenset({(measures, 1)}))


def _temperature(text: str) -> Quantity | None:
    if not (found := _TEMPERATURE.fullmatch(text)) or (found[2] in ("C", "F") and "degree" not in text) or found[2] in "cfk":
        return None
    value = number(re.sub(r"\s*degrees?\s*$", "", found[1]))
    if value is None:
        return None
    scale = found[2][0].upper()
    kelvin = {"K": value, "C": value + Fraction("273.15"), "F": (value - 32) * Fraction(5, 9) + Fraction("273.15")}[scale]
    return Quantity(kelvin, frozenset({("temperature", 1)}))


def _in_parts(text: str) -> Quantity | None:
    """Several parts of one measure: 2 hours 30 minutes, 2h30min, 5 ft 10 in."""
    parts: list[tuple[Fraction, tuple[str, Fraction]]] = []
    at = 0
    while found := _PART.match(text, at):
        hours = bool(parts) and parts[0][1][0] == "time"  # beside which m is for minutes
        value, unit = number(found[1]), _NAMES["minute"] if hours and found[2] == "m" else _unit(found[2])
        if value is None or unit is None:
            return None
        parts.append((value, unit))
        at = found.end()
    if len(parts) < 2 or at != len(text) or len({unit[0] for _, unit in parts}) != 1:
        return None
    return Quantity(sum((value * unit[1] for value, unit in parts), Fraction(0)), frozenset({(parts[0][1][0], 1)}))


def _with_unit(text: str) -> Quantity | None:
    found = _QUANTITY.fullmatch(text)
    if not found:
        return None
    told, rest = (found[1], found[2]) if found[1] else (found[3], found[4])
    if found[3]:  # in words: as many as are a number
        words = text.split()
        for cut in range(len(words) - 1, 0, -1):
            if number(" ".join(words[:cut])) is not None:
                told, rest = " ".join(words[:cut]), " ".join(words[cut:])
                break
    value = number(told)
    if value is None:
        return None
    if product := _product(rest):
        measures, factor = product
        return Quantity(value * factor, measures)
    if text[len(told)].isspace() and re.fullmatch(r"[A-Za-z][A-Za-z' -]{1,60}", rest) and not _LIKE_UNIT.search(rest):
        return Quantity(value, frozenset(), _singular(rest.casefold()))
    return None


_LIKE_UNIT = re.compile(r"\b(?:am|pm|to|or|and|x|y|z|pi|in|U|inf|sqrt|is)\b|^[a-z]$", re.IGNORECASE)


def _product(text: str) -> tuple[frozenset[tuple[str, int]], Fraction] | None:
    """A product of units with powers: km/h, kg m/s^2, square feet, miles per hour."""
    text = re.sub(r"\s+per\s+|\bper\s+", "/", text.strip())
    text = re.sub(r"\b(sq\.?|square)\s+([A-Za-z]+)", r"\2^2", text)
    text = re.sub(r"\b(cu\.?|cubic)\s+([A-Za-z]+)", r"\2^3", text)
    text = re.sub(r"\b([A-Za-z]+)\s+squared\b", r"\1^2", text)
    text = re.sub(r"\b([A-Za-z]+)\s+cubed\b", r"\1^3", text)
    text = {"mph": "mi/h", "kph": "km/h", "kmh": "km/h", "mpg": "mi/gal", "fps": "ft/s"}.get(text.casefold(), text)
    measures: Counter[str] = Counter()
    factor = Fraction(1)
    for at, side in enumerate(text.split("/")):
        side = side.strip().strip("()")
        for piece in re.split(r"\s*\*\s*|\s+", side):
            found = re.fullmatch(r"([A-Za-zΩ$€£¥₹¢]+)\.?(?:\^\{?\(?([+-]?\d)\)?\}?|([23]))?", piece)
            unit = _unit(found[1]) if found else None
            if not found or unit is None:
                return None
            power = int(found[2] or found[3] or 1) * (-1 if at else 1)
            measures[unit[0]] += power
            factor *= unit[1] ** power
    for name, (meaning, each) in _AS.items():
        if power := measures.pop(name, 0):
            for other, times in meaning.items():
                measures[other] += power * times
            factor *= each**power
    return frozenset((name, power) for name, power in measures.items() if power), factor


def _unit(name: str) -> tuple[str, Fraction] | None:
    name = name.rstrip(".")
    if name in _SYMBOLS:
        return _SYMBOLS[name]
    word = "inch" if name == "in" else name.casefold()
    return _NAMES.get(word) or (_NAMES.get(word[:-1]) if word.endswith("s") else None)


def _singular(noun: str) -> str:
    return noun[:-1] if noun.endswith("s") and not noun.endswith("ss") else noun
