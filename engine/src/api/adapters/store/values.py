"""What a column can hold, on both databases alike.

PostgreSQL refuses U+0000, numbers and texts that are too long, SQLite takes whatever comes: left to them, a row would
be stored on one and lost on the other. Text from outside is cleaned or refused before it gets here (`utils/text.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, get_args, get_type_hints

from tortoise.fields import BigIntField, CharField, IntField
from tortoise.models import Model

from src.api import models
from src.api.schemas.query import Scalar
from src.api.schemas.record import Record
from src.api.schemas.records import RECORDS
from src.api.utils.text import clean

__all__ = ["Column", "columns_of", "flags_of", "is_possible", "storable"]

_WIDE, _NARROW = 2**63, 2**31


@dataclass(frozen=True, slots=True)
class Column:
    """A column: `size` is how many characters it takes, or for numbers the first one that is too large."""

    name: str
    kind: type
    nullable: bool
    size: int | None


def columns_of(kind: type[Record]) -> Mapping[str, Column]:
    """The columns of a record's table by name, in the order of its fields."""
    return _COLUMNS[kind.table]


def flags_of(kind: type[Record]) -> Sequence[int]:
    """Which of them are true or false: SQLite has numbers there."""
    return _FLAGS[kind.table]


def storable(column: Column, value: Scalar) -> Scalar:
    """The value. Raises `ValueError`, naming the column, when it can't be kept there exactly as it is."""
    if reason := _objection(column, value):
        raise ValueError(f"{column.name} can't hold this value: {reason}")
    return value


def is_possible(column: Column, value: Scalar) -> bool:
    """Whether the column could hold the value at all. One that it couldn't equals nothing that is stored."""
    return _objection(column, value) is None


def _objection(column: Column, value: Scalar) -> str | None:
    if value is None:
        return None if column.nullable else "it is never empty"
    if type(value) is not column.kind:
        return f"it takes {column.kind.__name__}, not {type(value).__name__}"
    if isinstance(value, str):
        return _text_objection(value, column.size)
    if column.size is not None and not -column.size <= value < column.size:
        return "the number is too large"
    return None


def _text_objection(value: str, size: int | None) -> str | None:
    if size is not None and len(value) > size:
        return f"it takes {size} characters, not {len(value)}"
    return None if value == clean(value) else "text with U+0000 or a lone surrogate; clean or refuse it where it enters"


def _column(name: str, hint: type, size: int | None) -> Column:
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not type(None)]
    return Column(name, kinds[0], nullable=len(kinds) < len(get_args(hint)), size=size)


def _size(field: object) -> int | None:
    if isinstance(field, CharField):
        return int(field.max_length)
    if isinstance(field, BigIntField):
        return _WIDE
    return _NARROW if isinstance(field, IntField) else None


def _columns(record: type[Record], model: type[Model]) -> dict[str, Column]:
    hints = get_type_hints(record)
    listed = [name for name in hints if name not in get_type_hints(Record)]
    sizes = model._meta.fields_map  # noqa: SLF001 -- how Tortoise's models are looked at
    return {name: _column(name, hints[name], _size(sizes[name])) for name in listed}


_MODELS: Final = {model.Meta.table: model for model in (getattr(models, name) for name in models.__all__)}
_COLUMNS: Final = {record.table: _columns(record, _MODELS[record.table]) for record in RECORDS}
_FLAGS: Final = {
    table: [place for place, column in enumerate(columns.values()) if column.kind is bool]
    for table, columns in _COLUMNS.items()
}
