"""Conditions, assignments and aggregates that the store supports. Each names columns of one table (`protocol.md` 1)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "Aggregate",
    "Assign",
    "Between",
    "ColumnPlus",
    "Compare",
    "Condition",
    "CountNonNull",
    "Day",
    "Grouping",
    "Increment",
    "KeysetRange",
    "LogBucket",
    "MatchesText",
    "Now",
    "Scalar",
    "Where",
    "contains",
    "ge",
    "gt",
    "is_not_null",
    "le",
    "lt",
    "ne",
]

Scalar = str | int | bool | None


@dataclass(frozen=True, slots=True)
class Compare:
    """A comparison other than equality. NULL never matches."""

    operator: Literal["<", "<=", ">", ">=", "<>", "IS NOT", "LIKE"]
    value: Scalar


@dataclass(frozen=True, slots=True)
class Between:
    """`low` <= column < `high`."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Increment:
    """The column's current value plus `amount`."""

    amount: int


@dataclass(frozen=True, slots=True)
class ColumnPlus:
    """The value that another column of the row had before the change, plus `amount`."""

    column: str
    amount: int


@dataclass(frozen=True, slots=True)
class Now:
    """The time of the database's clock at the change, `plus` ms later."""

    plus: int = 0


@dataclass(frozen=True, slots=True)
class KeysetRange:
    """A range of rows in the order of this column and then of id: beyond `after`, up to and with `until`.

    The order is descending unless `ascending`.
    """

    after: tuple[int, str] | None = None
    until: tuple[int, str] | None = None
    ascending: bool = False


@dataclass(frozen=True, slots=True)
class MatchesText:
    """The id of a conversation whose indexed text contains `text`. Reads other rows, so it is for reads only."""

    text: str


Condition = Scalar | tuple[Scalar, ...] | Compare | Between | KeysetRange | MatchesText
Where = Mapping[str, Condition]
"""Column -> value (equal; None means NULL), tuple (any of them), or a comparison. All must match."""


@dataclass(frozen=True, slots=True)
class Day:
    """Days since 1970 in UTC, of a column in milliseconds."""

    column: str


@dataclass(frozen=True, slots=True)
class LogBucket:
    """A number, or its difference to the columns of `minus`, cut to two digits. Must not be negative."""

    column: str
    minus: tuple[str, ...] = ()


Grouping = str | Day | LogBucket
"""What rows are grouped by."""


@dataclass(frozen=True, slots=True)
class CountNonNull:
    """The number of rows in which this column is not NULL."""

    column: str


Aggregate = str | CountNonNull
"""What is summed per group: a column, or a count of values."""

Assign = Scalar | Increment | ColumnPlus | Now


def lt(value: int | str) -> Compare:
    return Compare("<", value)


def le(value: int | str) -> Compare:
    return Compare("<=", value)


def gt(value: int | str) -> Compare:
    return Compare(">", value)


def ge(value: int | str) -> Compare:
    return Compare(">=", value)


def ne(value: str) -> Compare:
    return Compare("<>", value)


def contains(text: str) -> Compare:
    """Match a substring. Whether case matters depends on the database."""
    escaped = re.sub(r"([%_\\])", r"\\\1", text)
    return Compare("LIKE", f"%{escaped}%")


def is_not_null() -> Compare:
    """Match rows whose column holds a value."""
    return Compare("IS NOT", None)
