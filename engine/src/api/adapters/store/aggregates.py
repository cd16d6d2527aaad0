"""Render the SELECT that counts and sums, with the same text for both databases."""

from collections.abc import Sequence

from src.api.adapters.store.sql import Parameters, Statement, find_column, quote_name, render_where
from src.api.schemas.query import Aggregate, CountNonNull, Day, Grouping, LogBucket, Where
from src.api.schemas.records import Record
from src.api.utils.times import DAY_MS

__all__ = ["MAX_GROUPS", "aggregate"]

MAX_GROUPS = 50_000
_DIGITS = 12


def aggregate(
    kind: type[Record], by: Sequence[Grouping], where: Where, sums: Sequence[Aggregate], *, numbered: bool
) -> Statement:
    """Render one SELECT of each group's key, count and sums, the largest group first."""
    bound = Parameters(numbered)
    keys = [_key(kind, each) for each in by]
    listed = ", ".join([*keys, "COUNT(*)", *(_sum(kind, each) for each in sums)])
    text = f"SELECT {listed} FROM {quote_name(kind.table)}{render_where(kind, where, bound)}"
    if keys:
        text += f" GROUP BY {', '.join(str(n + 1) for n in range(len(keys)))}"
    return f"{text} ORDER BY COUNT(*) DESC LIMIT {MAX_GROUPS}", bound.values


def _sum(kind: type[Record], each: Aggregate) -> str:
    if isinstance(each, CountNonNull):
        return f"COUNT({quote_name(find_column(kind, each.column).name)})"
    return f"CAST(COALESCE(SUM({quote_name(find_column(kind, each).name)}), 0) AS BIGINT)"


def _key(kind: type[Record], by: Grouping) -> str:
    if isinstance(by, str):
        return quote_name(find_column(kind, by).name)
    name = quote_name(find_column(kind, by.column).name)
    if isinstance(by, Day):
        return f"{name} / {DAY_MS}"
    return _log_bucket(by, kind, name)


def _log_bucket(by: LogBucket, kind: type[Record], name: str) -> str:
    """Round to two digits by integer division: both databases divide integers alike but round differently."""
    subtracted = [quote_name(find_column(kind, column).name) for column in by.minus]
    value = f"({' - '.join([name, *subtracted])})" if subtracted else name
    steps = (f"WHEN {value} < {10**n} THEN {value} / {10 ** (n - 2)} * {10 ** (n - 2)}" for n in range(3, _DIGITS))
    return f"CASE WHEN {value} < 100 THEN {value} {' '.join(steps)} ELSE {10**_DIGITS} END"
