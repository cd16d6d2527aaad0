"""Render SQL statements from records and conditions: text and parameters, for both dialects, without I/O.

The ORM is not used, because it renders an UPDATE with a filter on a relation as a sub-select and silently drops a
limit. A compare-and-set must not do either (`protocol.md` 1): here, an unknown column raises.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from src.api.adapters.store.values import Column, boolean_positions, can_hold, check_value, columns_of
from src.api.schemas.query import (
    Assign,
    Between,
    ColumnPlus,
    Compare,
    Condition,
    Increment,
    KeysetRange,
    MatchesText,
    Now,
    Scalar,
    Where,
    contains,
)
from src.api.schemas.records import JournalEvent, Record, Run

__all__ = [
    "MAX_INSERTED",
    "MAX_ROWS",
    "Parameters",
    "Statement",
    "build_record",
    "delete",
    "distinct",
    "find_column",
    "insert",
    "quote_name",
    "render_where",
    "select",
    "tail",
    "update",
    "update_and_insert",
]

R = TypeVar("R", bound=Record)
Statement = tuple[str, list[Scalar]]

MAX_ROWS = 1000
"""The most rows that one statement reads, and the most values that one condition lists."""

_TYPES: Final[Mapping[type, str]] = {str: "text", int: "bigint", bool: "boolean"}

MAX_INSERTED = 50
"""The most rows that one statement inserts."""


class Parameters:
    """Collect bound values and return their placeholders: `$1` for PostgreSQL, `?` for SQLite."""

    def __init__(self, numbered: bool) -> None:
        self.values: list[Scalar] = []
        self._numbered = numbered

    def add(self, value: Scalar) -> str:
        self.values.append(value)
        return f"${len(self.values)}" if self._numbered else "?"


def build_record(kind: type[R], row: Iterable[Any]) -> R:
    """Build a record from a row whose values are in the order of `columns_of(kind)`."""
    flags = boolean_positions(kind)
    if not flags:
        return kind(*row)
    values = list(row)
    for place in flags:
        values[place] = bool(values[place])
    return kind(*values)


def select(kind: type[Record], where: Where, order: str, limit: int, skip: int = 0, *, numbered: bool) -> Statement:
    parameters = Parameters(numbered)
    text = f"SELECT {_column_list(kind)} FROM {quote_name(kind.table)}{render_where(kind, where, parameters)}"
    if order:
        text += " ORDER BY " + ", ".join(_order_term(kind, name.strip()) for name in order.split(","))
    return f"{text} LIMIT {_limit(limit)}" + (f" OFFSET {skip}" if skip else ""), parameters.values


def distinct(kind: type[Record], column: str, where: Where, *, numbered: bool) -> Statement:
    parameters = Parameters(numbered)
    name = quote_name(find_column(kind, column).name)
    text = f"SELECT DISTINCT {name} FROM {quote_name(kind.table)}{render_where(kind, where, parameters)}"
    return f"{text} LIMIT {MAX_ROWS}", parameters.values


def update(
    kind: type[Record], where: Where, values: Mapping[str, Assign], *, numbered: bool, clock: str | None = None
) -> Statement:
    """Render an UPDATE guarded by the row's own columns; it returns the changed rows.

    `clock` is the expression of the database's clock. With it, each row ends with the time, read once it is locked.
    """
    parameters = Parameters(numbered)
    return _update_text(kind, where, values, parameters, clock), parameters.values


def update_and_insert(
    kind: type[Record], where: Where, values: Mapping[str, Assign], rows: Sequence[Record]
) -> Statement:
    """Render an UPDATE of one row and, for PostgreSQL only, an INSERT of rows of one kind if that row was changed.

    It returns the changed row, and behind it how many of the others were inserted: none where a unique key is taken.
    """
    parameters = Parameters(numbered=True)
    changed = _update_text(kind, where, values, parameters, None)
    added, columns = type(rows[0]), columns_of(type(rows[0])).values()
    listed = ", ".join(
        f"({', '.join(_typed_place(each, check_value(each, getattr(row, each.name)), parameters) for each in columns)})"
        for row in rows
    )
    text = (
        f"WITH changed AS ({changed}), added AS (INSERT INTO {quote_name(added.table)} ({_column_list(added)}) "
        f"SELECT listed.* FROM changed, (VALUES {listed}) AS listed ON CONFLICT DO NOTHING RETURNING 1) "
        "SELECT changed.*, (SELECT count(*) FROM added) FROM changed"
    )
    return text, parameters.values


def _typed_place(column: Column, value: Scalar, parameters: Parameters) -> str:
    """A placeholder with its type, which PostgreSQL can't tell from the column where rows come from a query."""
    return f"{parameters.add(value)}::{_TYPES[column.kind]}"


def _update_text(
    kind: type[Record], where: Where, values: Mapping[str, Assign], parameters: Parameters, clock: str | None
) -> str:
    if not values or not where:
        raise ValueError(f"an update of {kind.__name__} needs a condition and something to set")
    _check_guard(kind, where)
    columns = {name: find_column(kind, name) for name in values}
    sets = ", ".join(_assignment(kind, columns[name], value, parameters, clock) for name, value in values.items())
    matching = render_where(kind, where, parameters)
    returned = _column_list(kind) if clock is None else f"{_column_list(kind)}, {clock}"
    return f"UPDATE {quote_name(kind.table)} SET {sets}{matching} RETURNING {returned}"


def insert(rows: Sequence[Record], *, numbered: bool) -> Statement:
    """Render an INSERT of rows of one kind. It returns one row for each, but none where a unique key is taken."""
    kind = type(rows[0])
    columns = columns_of(kind).values()
    values = [check_value(column, getattr(row, column.name)) for row in rows for column in columns]
    return _insert_text(kind, len(rows), numbered), values


def _insert_text(kind: type[Record], rows: int, numbered: bool) -> str:
    parameters = Parameters(numbered)
    places = ", ".join(f"({', '.join(parameters.add(None) for _ in columns_of(kind))})" for _ in range(rows))
    text = f"INSERT INTO {quote_name(kind.table)} ({_column_list(kind)}) VALUES {places}"
    return f"{text} ON CONFLICT DO NOTHING RETURNING {quote_name(kind.key[0])}"


def delete(kind: type[Record], where: Where, *, numbered: bool) -> Statement:
    parameters = Parameters(numbered)
    if not where:
        raise ValueError(f"a delete of {kind.__name__} needs a condition")
    _check_guard(kind, where)
    return f"DELETE FROM {quote_name(kind.table)}{render_where(kind, where, parameters)}", parameters.values


def _check_guard(kind: type[Record], where: Where) -> None:
    if any(isinstance(each, MatchesText) for each in where.values()):
        raise ValueError(f"a change of {kind.__name__} must be guarded by the row's own columns")


def quote_name(name: str) -> str:
    return f'"{name}"'


def _limit(limit: int) -> int:
    if not 0 < limit <= MAX_ROWS:
        raise ValueError(f"a statement reads 1 to {MAX_ROWS} rows, not {limit}")
    return limit


def find_column(kind: type[Record], name: str) -> Column:
    if name not in columns_of(kind):
        raise ValueError(f"{kind.__name__} has no column {name!r}")
    return columns_of(kind)[name]


def _column_list(kind: type[Record]) -> str:
    return ", ".join(quote_name(name) for name in columns_of(kind))


def _order_term(kind: type[Record], name: str) -> str:
    return f"{quote_name(find_column(kind, name.removeprefix('-')).name)} {'DESC' if name.startswith('-') else 'ASC'}"


def _assignment(kind: type[Record], column: Column, value: Assign, parameters: Parameters, clock: str | None) -> str:
    name = quote_name(column.name)
    if isinstance(value, Now):
        if clock is None:
            raise ValueError(f"{column.name} needs the time, and this database has no clock")
        return f"{name} = {clock} + {parameters.add(check_value(column, value.plus))}"
    if isinstance(value, ColumnPlus):
        other = quote_name(find_column(kind, value.column).name)
        return f"{name} = {other} + {parameters.add(check_value(column, value.amount))}"
    if isinstance(value, Increment):
        return f"{name} = {name} + {parameters.add(check_value(column, value.amount))}"
    return f"{name} = {parameters.add(check_value(column, value))}"


def render_where(kind: type[Record], where: Where, parameters: Parameters) -> str:
    conditions = [_condition(find_column(kind, name), value, parameters) for name, value in where.items()]
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _condition(column: Column, value: Condition, parameters: Parameters) -> str:
    name = quote_name(column.name)
    if value is None:
        return f"{name} IS NULL"
    if isinstance(value, Between):
        low, high = parameters.add(check_value(column, value.low)), parameters.add(check_value(column, value.high))
        return f"{name} >= {low} AND {name} < {high}"
    if isinstance(value, KeysetRange):
        return _keyset_condition(name, value, parameters)
    if isinstance(value, MatchesText):
        return _text_condition(name, value, parameters)
    if isinstance(value, Compare):
        if value.value is None:
            return f"{name} IS NOT NULL"
        escape = " ESCAPE '\\'" if value.operator == "LIKE" else ""
        return f"{name} {value.operator} {parameters.add(check_value(column, value.value))}{escape}"
    return _is_one_of(column, value if isinstance(value, tuple) else (value,), parameters)


def _keyset_condition(name: str, value: KeysetRange, parameters: Parameters) -> str:
    beyond, within = (">", "<=") if value.ascending else ("<", ">=")
    ends = [(operator, end) for operator, end in ((beyond, value.after), (within, value.until)) if end is not None]
    parts = [
        f'({name}, "id") {operator} ({parameters.add(end[0])}, {parameters.add(end[1])})' for operator, end in ends
    ]
    return " AND ".join(parts) or "1 = 1"


def _text_condition(name: str, value: MatchesText, parameters: Parameters) -> str:
    """Render a sub-select with a limit, which PostgreSQL runs per row: a join could read all users' texts."""
    part = parameters.add(contains(value.text).value)
    texts = f's."conversation_id" = "conversations".{name} AND s."text_casefolded" LIKE {part} ESCAPE \'\\\''
    return f'(SELECT 1 FROM "search" s WHERE {texts} LIMIT 1) IS NOT NULL'


def _is_one_of(column: Column, values: tuple[Scalar, ...], parameters: Parameters) -> str:
    """Render a condition on one of several values.

    A value that the column can't hold, such as an id with U+0000 from a URL, matches no row instead of raising.
    """
    if len(values) > MAX_ROWS:
        raise ValueError(f"a condition names at most {MAX_ROWS} values, not {len(values)}")
    possible = [parameters.add(value) for value in values if value is not None and can_hold(column, value)]
    if not possible:
        return "1 = 0"
    name = quote_name(column.name)
    return f"{name} = {possible[0]}" if len(possible) == 1 else f"{name} IN ({', '.join(possible)})"


def tail(run_id: str, after: int, limit: int, *, numbered: bool) -> Statement:
    """Render one SELECT of a run's state and its events above `after`, so that both are from one snapshot."""
    parameters = Parameters(numbered)
    listed = ", ".join(f'e."{name}"' for name in columns_of(JournalEvent))
    newer = f'e."n" > {parameters.add(check_value(find_column(JournalEvent, "n"), after))}'
    text = (
        f'SELECT r."conversation_id", r."state", r."journal", r."rest_seq", {listed} FROM "runs" r '
        f'LEFT JOIN "events" e ON e."run_id" = r."id" AND {newer} '
        f'WHERE {_is_one_of(find_column(Run, "id"), (run_id,), parameters)} ORDER BY e."n" LIMIT {_limit(limit)}'
    )
    return text, parameters.values
