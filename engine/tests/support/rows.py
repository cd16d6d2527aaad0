"""Rows for tests: everything that a table wants, of which a test names what it is about."""

import dataclasses
from typing import Any, TypeVar, get_args, get_type_hints

from src.api.schemas.record import Record

R = TypeVar("R", bound=Record)
_EMPTY: dict[type, object] = {str: "", int: 0, bool: False}


def row(kind: type[R], **values: Any) -> R:
    """A record in which what is not named is empty, 0, False or None."""
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: values.get(name, _nothing(hints[name])) for name in names})


def _nothing(hint: type) -> object:
    return None if type(None) in get_args(hint) else _EMPTY[hint]
