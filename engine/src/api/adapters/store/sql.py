"""Statements, rendered from records and conditions. Pure: text and parameters, for both dialects.

The ORM renders an UPDATE whose filter follows a relation as a sub-select, and drops a limit without a word; a
compare-and-set can't live with either (`protocol.md` 1). Here a statement names columns of its own table or fails.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from src.api.adapters.store.values import Column, columns_of, flags_of, is_possible, storable
from src.api.schemas.query import (
    Assign,
    Between,
    Compare,
    Condition,
    Mentions,
    Passage,
    Plus,
    Scalar,
    Where,
    contains,
)
from src.api.schemas.record import Record
from src.api.schemas.records import JournalEvent, Run

__all__ = [
    "MAX_ROWS",
    "Parameters",
    "Statement",
    "column_of",
    "delete",
    "distinct",
    "from_row",
    "insert",
    "quoted",
    "select",
    "tail",
    "update",
    "where_of",
]

R = TypeVar("R", bound=Record)
Statement = tuple[str, list[Scalar]]

MAX_ROWS = 1000
"""The most rows that one statement reads, and the most values that one condition names."""


class Parameters:
    """Collects bound values and names their places: `$1` for PostgreSQL, `?` for SQLite."""

    def __init__(self, numbered: bool) -> None:
        self.values: list[Scalar] = []
        self._numbered = numbered

    def add(self, value: Scalar) -> str:
        self.values.append(value)
        return f"${len(self.values)}" if self._numbered else "?"


def from_row(kind: type[R], row: Iterable[Any]) -> R:
    """A record of a row whose values stand in the order of `columns_of(kind)`."""
    flags = flags_of(kind)
    if not flags:
        return kind(*row)
    values = list(row)
    for place in flags:
        values[place] = bool(values[place])
    return kind(*values)


def select(kind: type[Record], where: Where, order: str, limit: int, skip: int = 0, *, numbered: bool) -> Statement:
    bound = Parameters(numbered)
    text = f"SELECT {_list(kind)} FROM {quoted(kind.table)}{where_of(kind, where, bound)}"
    if order:
        text += " ORDER BY " + ", ".join(_order(kind, name.strip()) for name in order.split(","))
    return f"{text} LIMIT {_limit(limit)}" + (f" OFFSET {skip}" if skip else ""), bound.values


def distinct(kind: type[Record], column: str, where: Where, *, numbered: bool) -> Statement:
    bound = Parameters(numbered)
    name = quoted(column_of(kind, column).name)
    text = f"SELECT DISTINCT {name} FROM {quoted(kind.table)}{where_of(kind, where, bound)}"
    return f"{text} LIMIT {MAX_ROWS}", bound.values


def update(kind: type[Record], where: Where, values: Mapping[str, Assign], *, numbered: bool) -> Statement:
    """One UPDATE of the rows whose own columns match, answering with them as they are now."""
    bound = Parameters(numbered)
    if not values or not where:
        raise ValueError(f"an update of {kind.__name__} needs a condition and something to set")
    _check_guard(kind, where)
    sets = ", ".join(_assignment(column_of(kind, name), value, bound) for name, value in values.items())
    text = f"UPDATE {quoted(kind.table)} SET {sets}{where_of(kind, where, bound)} RETURNING {_list(kind)}"
    return text, bound.values


def insert(row: Record, *, numbered: bool) -> Statement:
    """One INSERT that answers with a row if it made one, and with none if a unique key was taken."""
    kind = type(row)
    bound = Parameters(numbered)
    columns = columns_of(kind).values()
    places = ", ".join(bound.add(storable(column, getattr(row, column.name))) for column in columns)
    text = f"INSERT INTO {quoted(kind.table)} ({_list(kind)}) VALUES ({places})"
    return f"{text} ON CONFLICT DO NOTHING RETURNING {quoted(kind.key[0])}", bound.values


def delete(kind: type[Record], where: Where, *, numbered: bool) -> Statement:
    bound = Parameters(numbered)
    if not where:
        raise ValueError(f"a delete of {kind.__name__} needs a condition")
    _check_guard(kind, where)
    return f"DELETE FROM {quoted(kind.table)}{where_of(kind, where, bound)}", bound.values


def _check_guard(kind: type[Record], where: Where) -> None:
    if any(isinstance(each, Mentions) for each in where.values()):
        raise ValueError(f"what guards a change of {kind.__name__} are its row's own columns")


def quoted(name: str) -> str:
    return f'"{name}"'


def _limit(limit: int) -> int:
    if not 0 < limit <= MAX_ROWS:
        raise ValueError(f"a statement reads 1 to {MAX_ROWS} rows, not {limit}")
    return limit


def column_of(kind: type[Record], name: str) -> Column:
    if name not in columns_of(kind):
        raise ValueError(f"{kind.__name__} has no column {name!r}")
    return columns_of(kind)[name]


def _list(kind: type[Record]) -> str:
    return ", ".join(quoted(name) for name in columns_of(kind))


def _order(kind: type[Record], name: str) -> str:
    return f"{quoted(column_of(kind, name.removeprefix('-')).name)} {'DESC' if name.startswith('-') else 'ASC'}"


def _assignment(column: Column, value: Assign, bound: Parameters) -> str:
    name = quoted(column.name)
    if isinstance(value, Plus):
        return f"{name} = {name} + {bound.add(storable(column, value.amount))}"
    return f"{name} = {bound.add(storable(column, value))}"


def where_of(kind: type[Record], where: Where, bound: Parameters) -> str:
    conditions = [_condition(column_of(kind, name), value, bound) for name, value in where.items()]
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _condition(column: Column, value: Condition, bound: Parameters) -> str:
    name = quoted(column.name)
    if value is None:
        return f"{name} IS NULL"
    if isinstance(value, Between):
        low, high = bound.add(storable(column, value.low)), bound.add(storable(column, value.high))
        return f"{name} >= {low} AND {name} < {high}"
    if isinstance(value, Passage):
        return _passage(name, value, bound)
    if isinstance(value, Mentions):
        return _mentions(name, value, bound)
    if isinstance(value, Compare):
        if value.value is None:
            return f"{name} IS NOT NULL"
        escape = " ESCAPE '\\'" if value.operator == "LIKE" else ""
        return f"{name} {value.operator} {bound.add(storable(column, value.value))}{escape}"
    return _is_one_of(column, value if isinstance(value, tuple) else (value,), bound)


def _passage(name: str, value: Passage, bound: Parameters) -> str:
    ends = [(operator, end) for operator, end in (("<", value.after), (">=", value.until)) if end is not None]
    parts = [f'({name}, "id") {operator} ({bound.add(end[0])}, {bound.add(end[1])})' for operator, end in ends]
    return " AND ".join(parts) or "1 = 1"


def _mentions(name: str, value: Mentions, bound: Parameters) -> str:
    """A sub-select with a limit, which PostgreSQL asks row by row: a join might read everybody's texts."""
    part = bound.add(contains(value.text).value)
    texts = f's."conversation_id" = "conversations".{name} AND s."folded" LIKE {part} ESCAPE \'\\\''
    return f'(SELECT 1 FROM "search" s WHERE {texts} LIMIT 1) IS NOT NULL'


def _is_one_of(column: Column, values: tuple[Scalar, ...], bound: Parameters) -> str:
    """A value that the column can't hold, as an id with U+0000 from a URL, is none of its rows' and no error."""
    if len(values) > MAX_ROWS:
        raise ValueError(f"a condition names at most {MAX_ROWS} values, not {len(values)}")
    possible = [bound.add(value) for value in values if value is not None and is_possible(column, value)]
    if not possible:
        return "1 = 0"
    name = quoted(column.name)
    return f"{name} = {possible[0]}" if len(possible) == 1 else f"{name} IN ({', '.join(possible)})"


def tail(run_id: str, after: int, limit: int, *, numbered: bool) -> Statement:
    """A run's state beside its events above `after`, in one statement: what a follower sees is of one moment."""
    bound = Parameters(numbered)
    listed = ", ".join(f'e."{name}"' for name in columns_of(JournalEvent))
    newer = f'e."n" > {bound.add(storable(column_of(JournalEvent, "n"), after))}'
    text = (
        f'SELECT r."conversation_id", r."state", r."journal", r."rest", {listed} FROM "runs" r '
        f'LEFT JOIN "events" e ON e."run_id" = r."id" AND {newer} '
        f'WHERE {_is_one_of(column_of(Run, "id"), (run_id,), bound)} ORDER BY e."n" LIMIT {_limit(limit)}'
    )
    return text, bound.values
