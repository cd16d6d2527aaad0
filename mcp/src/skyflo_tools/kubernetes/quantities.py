"""Resource quantities such as `500m`, `1.5`, `128Mi` and `2e3`."""

import re
from fractions import Fraction
from math import ceil

from skyflo_common.jsontypes import JsonValue

_PATTERN = re.compile(r"([+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30}))([numkMGTPE]?|[KMGTPE]i|[eE][+-]?\d{1,2})")
_UNITS = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    **{unit: Fraction(1000**power) for power, unit in enumerate("kMGTPE", 1)},
    **{f"{unit}i": Fraction(1024**power) for power, unit in enumerate("KMGTPE", 1)},
}


def parse_quantity(value: JsonValue) -> Fraction | None:
    """Parse a quantity exactly. A number counts as one; None for anything else."""
    text = str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    found = _PATTERN.fullmatch(text)
    if found is None:
        return None
    number, unit = Fraction(found[1]), found[2]
    return number * (_UNITS[unit] if unit in _UNITS else Fraction(10) ** int(unit[1:]))


def format_cpu(value: Fraction | None) -> str:
    """Format cores as `kubectl top` does, in thousandths: `250m`. Empty for None."""
    return "" if value is None else f"{ceil(value * 1000)}m"


def format_memory(value: Fraction | None) -> str:
    """Format bytes as `kubectl top` does, in mebibytes: `128Mi`. Empty for None."""
    return "" if value is None else f"{ceil(value / 2**20)}Mi"


def percent(part: Fraction | None, whole: Fraction | None) -> int | None:
    return None if part is None or not whole else round(part * 100 / whole)
