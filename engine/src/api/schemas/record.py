"""What a row is."""

from typing import ClassVar

__all__ = ["Record"]


class Record:
    """A row. `table` names its table, `key` the columns that identify it."""

    table: ClassVar[str]
    key: ClassVar[tuple[str, ...]] = ("id",)
