"""Build database records for tests from the values that matter to the test."""

import dataclasses
from typing import Any, TypeVar, get_args, get_type_hints

from src.api.schemas.records import Record

R = TypeVar("R", bound=Record)
_EMPTY: dict[type, object] = {str: "", int: 0, bool: False}


def row(kind: type[R], **values: Any) -> R:
    """Return a record whose unnamed columns are empty, 0, False or None."""
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: values.get(name, _empty_value(hints[name])) for name in names})


def _empty_value(hint: type) -> object:
    return None if type(None) in get_args(hint) else _EMPTY[hint]
