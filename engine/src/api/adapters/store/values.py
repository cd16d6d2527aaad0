"""Check what a column can hold, alike for both databases.

PostgreSQL refuses U+0000, large numbers and long texts; SQLite accepts anything. Unchecked, the same row would be
stored on one and refused on the other. Text from outside is cleaned or refused before it gets here (`utils/text.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, get_args, get_type_hints

from tortoise.fields import BigIntField, CharField, IntField
from tortoise.models import Model

from src.api import models
from src.api.schemas.query import Scalar
from src.api.schemas.records import RECORDS, Record
from src.api.utils.text import clean

__all__ = ["Column", "boolean_positions", "can_hold", "check_value", "columns_of"]

_BIGINT_LIMIT, _INT_LIMIT = 2**63, 2**31


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `size` is its length in characters, or for numbers the first one that is too large."""

    name: str
    kind: type
    nullable: bool
    size: int | None


def columns_of(kind: type[Record]) -> Mapping[str, Column]:
    """Return the columns of a record's table by name, in the order of its fields."""
    return _COLUMNS[kind.table]


def boolean_positions(kind: type[Record]) -> Sequence[int]:
    """Return the positions of the boolean columns: SQLite stores numbers there."""
    return _BOOLEANS[kind.table]


def check_value(column: Column, value: Scalar) -> Scalar:
    """Return the value. Raises `ValueError`, naming the column, if it can't be stored there exactly as it is."""
    if reason := _find_problem(column, value):
        raise ValueError(f"{column.name} can't hold this value: {reason}")
    return value


def can_hold(column: Column, value: Scalar) -> bool:
    """Whether the column could hold the value. If not, no stored row can equal it."""
    return _find_problem(column, value) is None


def _find_problem(column: Column, value: Scalar) -> str | None:
    if value is None:
        return None if column.nullable else "it is never empty"
    if type(value) is not column.kind:
        return f"it takes {column.kind.__name__}, not {type(value).__name__}"
    if isinstance(value, str):
        return _find_text_problem(value, column.size)
    if column.size is not None and not -column.size <= value < column.size:
        return "the number is too large"
    return None


def _find_text_problem(value: str, size: int | None) -> str | None:
    if size is not None and len(value) > size:
        return f"it takes {size} characters, not {len(value)}"
    return None if value == clean(value) else "text with U+0000 or a lone surrogate; clean or refuse it on input"


def _column(name: str, hint: type, size: int | None) -> Column:
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not type(None)]
    return Column(name, kinds[0], nullable=len(kinds) < len(get_args(hint)), size=size)


def _size(field: object) -> int | None:
    if isinstance(field, CharField):
        return int(field.max_length)
    if isinstance(field, BigIntField):
        return _BIGINT_LIMIT
    return _INT_LIMIT if isinstance(field, IntField) else None


def _columns(record: type[Record], model: type[Model]) -> dict[str, Column]:
    hints = get_type_hints(record)
    listed = [name for name in hints if name not in get_type_hints(Record)]
    sizes = model._meta.fields_map  # noqa: SLF001 -- how Tortoise's models are looked at
    return {name: _column(name, hints[name], _size(sizes[name])) for name in listed}


_MODELS: Final = {model.Meta.table: model for model in (getattr(models, name) for name in models.__all__)}
_COLUMNS: Final = {record.table: _columns(record, _MODELS[record.table]) for record in RECORDS}
_BOOLEANS: Final = {
    table: [place for place, column in enumerate(columns.values()) if column.kind is bool]
    for table, columns in _COLUMNS.items()
}
