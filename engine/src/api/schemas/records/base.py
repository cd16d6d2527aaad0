"""The base class of rows."""

from typing import ClassVar

__all__ = ["Record"]


class Record:
    """A row. `table` is its table, `key` its primary key."""

    table: ClassVar[str]
    key: ClassVar[tuple[str, ...]] = ("id",)
