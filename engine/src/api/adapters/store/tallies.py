"""The one statement that counts and sums, by the same text on both databases."""

from collections.abc import Sequence

from src.api.adapters.store.sql import Parameters, Statement, column_of, quoted, where_of
from src.api.schemas.query import Day, Filled, Grouping, Rounded, Summand, Where
from src.api.schemas.record import Record

__all__ = ["MOST_GROUPS", "tally"]

MOST_GROUPS = 50_000
DAY_MS = 86_400_000
_DIGITS = 12


def tally(
    kind: type[Record], by: Sequence[Grouping], where: Where, sums: Sequence[Summand], *, numbered: bool
) -> Statement:
    """One SELECT of each group's key, its count and its sums, the largest group first."""
    bound = Parameters(numbered)
    keys = [_key(kind, each) for each in by]
    listed = ", ".join([*keys, "COUNT(*)", *(_sum(kind, each) for each in sums)])
    text = f"SELECT {listed} FROM {quoted(kind.table)}{where_of(kind, where, bound)}"
    if keys:
        text += f" GROUP BY {', '.join(str(n + 1) for n in range(len(keys)))}"
    return f"{text} ORDER BY COUNT(*) DESC LIMIT {MOST_GROUPS}", bound.values


def _sum(kind: type[Record], each: Summand) -> str:
    if isinstance(each, Filled):
        return f"COUNT({quoted(column_of(kind, each.column).name)})"
    return f"CAST(COALESCE(SUM({quoted(column_of(kind, each).name)}), 0) AS BIGINT)"


def _key(kind: type[Record], by: Grouping) -> str:
    if isinstance(by, str):
        return quoted(column_of(kind, by).name)
    name = quoted(column_of(kind, by.column).name)
    if isinstance(by, Day):
        return f"{name} / {DAY_MS}"
    return _rounded(by, kind, name)


def _rounded(by: Rounded, kind: type[Record], name: str) -> str:
    """Whole numbers divide alike on both databases; what they round to differs between them."""
    value = f"({name} - {quoted(column_of(kind, by.since).name)})" if by.since else name
    steps = (f"WHEN {value} < {10**n} THEN {value} / {10 ** (n - 2)} * {10 ** (n - 2)}" for n in range(3, _DIGITS))
    return f"CASE WHEN {value} < 100 THEN {value} {' '.join(steps)} ELSE {10**_DIGITS} END"
