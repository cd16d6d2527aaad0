"""Resource quantities such as `500m`, `1.5`, `128Mi` and `2e3`."""

import re
from fractions import Fraction
from math import ceil
from types import MappingProxyType

__all__ = ["QUANTITY_FORMAT_ERROR", "canonical_quantity", "parse_quantity"]

QUANTITY_FORMAT_ERROR = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_PATTERN = re.compile(r"([+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30}))([numkMGTPE]?|[KMGTPE]i|[eE][+-]?\d{1,2})")
_UNITS = MappingProxyType(
    {
        "n": Fraction(1, 10**9),
        "u": Fraction(1, 10**6),
        "m": Fraction(1, 1000),
        "": Fraction(1),
        **{unit: Fraction(1000**power) for power, unit in enumerate("kMGTPE", 1)},
        **{f"{unit}i": Fraction(1024**power) for power, unit in enumerate("KMGTPE", 1)},
    }
)
_DECIMAL = ("n", "u", "m", "", "k", "M", "G", "T", "P", "E")
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


def parse_quantity(text: str) -> Fraction | None:
    """Parse a quantity exactly; None if the text is not a quantity."""
    found = _PATTERN.fullmatch(text)
    if found is None:
        return None
    number, unit = Fraction(found[1]), found[2]
    return number * (_UNITS[unit] if unit in _UNITS else Fraction(10) ** int(unit[1:]))


def canonical_quantity(text: str) -> str:
    """Format a quantity as API servers store it: `1000m` is `1`, `0.5Gi` is `512Mi`. Other text is unchanged."""
    value, unit = parse_quantity(text), text.lstrip("+-.0123456789")
    if value is None:
        return text
    if unit.endswith("i") and value.denominator == 1 and abs(value) >= 1024:
        number, power = _factor_out(value.numerator, 1024, 6)
        return f"{number}{_BINARY[power]}"
    number, power = _factor_out(ceil(value * 10**9), 1000, 9)
    if unit[:1] in ("e", "E") and unit[1:]:
        return f"{number}e{3 * power - 9}" if power != 3 else str(number)
    return f"{number}{_DECIMAL[power]}"


def _factor_out(number: int, by: int, most: int) -> tuple[int, int]:
    """Divide a number by a factor as often as possible, up to `most` times; return the rest and the count."""
    times = 0
    while number and number % by == 0 and times < most:
        number, times = number // by, times + 1
    return number, times if number else 3
