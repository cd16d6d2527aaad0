"""The few conditions and assignments that the store understands. All name columns of one table: `protocol.md` 1."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "Assign",
    "Between",
    "Compare",
    "Condition",
    "Day",
    "Filled",
    "Grouping",
    "Mentions",
    "Passage",
    "Plus",
    "Rounded",
    "Scalar",
    "Summand",
    "Where",
    "above",
    "at_least",
    "at_most",
    "below",
    "contains",
    "no",
    "other_than",
]

Scalar = str | int | bool | None


@dataclass(frozen=True, slots=True)
class Compare:
    """A column compared with a value by something other than equality. A NULL column never matches."""

    operator: Literal["<", "<=", ">", ">=", "<>", "IS NOT", "LIKE"]
    value: Scalar


@dataclass(frozen=True, slots=True)
class Between:
    """The column is at least `low` and below `high`."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Plus:
    """The column's own value plus `amount`."""

    amount: int


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of a list that goes down by this column and then by id: what is below `after`, as far as `until`."""

    after: tuple[int, str] | None = None
    until: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True)
class Mentions:
    """The conversation with this id is found by the text. It looks at other rows, so it is for reading alone."""

    text: str


Condition = Scalar | tuple[Scalar, ...] | Compare | Between | Passage | Mentions
Where = Mapping[str, Condition]
"""Column -> value (equal; None: is null), a tuple of values (one of them), or a comparison. All must hold."""


@dataclass(frozen=True, slots=True)
class Day:
    """The day since 1970, in UTC, of a column that holds milliseconds."""

    column: str


@dataclass(frozen=True, slots=True)
class Rounded:
    """A number, or how much it is above the column `since`, cut to its first two digits. It must not be negative."""

    column: str
    since: str | None = None


Grouping = str | Day | Rounded
"""What rows are counted by: a column's own value, or what is made of it."""


@dataclass(frozen=True, slots=True)
class Filled:
    """In how many of the rows this column holds something."""

    column: str


Summand = str | Filled
"""What is added up of the rows of a group: a number column, or how many hold something."""

Assign = Scalar | Plus


def below(value: int | str) -> Compare:
    return Compare("<", value)


def at_most(value: int | str) -> Compare:
    return Compare("<=", value)


def above(value: int | str) -> Compare:
    return Compare(">", value)


def at_least(value: int | str) -> Compare:
    return Compare(">=", value)


def other_than(value: str) -> Compare:
    return Compare("<>", value)


def contains(text: str) -> Compare:
    """The text stands somewhere in the column, as it is written: whether case counts is up to the database."""
    escaped = re.sub(r"([%_\\])", r"\\\1", text)
    return Compare("LIKE", f"%{escaped}%")


def no(value: None) -> Compare:
    """`no(None)`: the column holds something."""
    return Compare("IS NOT", value)
