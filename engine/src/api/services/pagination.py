"""Opaque cursors for lists that are ordered by a time and an id, newest first."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from src.api.errors import BadRequest
from src.api.ports import Reader
from src.api.schemas.query import KeysetRange, Where
from src.api.schemas.records import Record

__all__ = ["Cursor", "ResultPage", "find_newest", "keyset_range", "next_cursor"]

R = TypeVar("R", bound=Record)
T = TypeVar("T")


class ListedRow(Protocol):
    """A row of a table with `created_at` and `id`."""

    @property
    def id(self) -> str: ...

    @property
    def created_at(self) -> int: ...


@dataclass(frozen=True, slots=True)
class ResultPage(Generic[T]):
    """The items of a page, and the cursor of the next page if there is one."""

    items: list[T]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row of a page. The next page starts below it."""

    time: int
    id: str

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(f"{self.time}:{self.id}".encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str | None) -> "Cursor | None":
        """Parse a cursor from a request. Raises `BadRequest` unless a page could have returned it."""
        if text is None:
            return None
        try:
            time, colon, row = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii").partition(":")
        except (binascii.Error, UnicodeError, ValueError):
            time, colon, row = "", "", ""
        if not (colon and time.isdecimal() and len(time) <= 15 and 0 < len(row) <= 64 and row.isprintable()):
            raise BadRequest("This cursor is not one that a page gave out. Leave it out to start at the beginning.")
        return cls(int(time), row)


def keyset_range(after: Cursor | None, until: Cursor | None = None) -> KeysetRange:
    """Return a condition on the list's time column: rows below `after`, down to `until`."""
    first, last = (None if each is None else (each.time, each.id) for each in (after, until))
    return KeysetRange(first, last)


async def find_newest(
    reader: Reader, kind: type[R], after: Cursor | None, limit: int, where: Where | None = None
) -> list[R]:
    """Return at most `limit` matching rows below the cursor, newest first, of a table with `created_at` and `id`."""
    return await reader.find(kind, {**(where or {}), "created_at": keyset_range(after)}, "-created_at,-id", limit)


def next_cursor(found: Sequence[ListedRow], limit: int) -> str | None:
    """Return the cursor after the first `limit` rows, or None if no more rows were found."""
    last = found[limit - 1] if len(found) > limit else None
    return None if last is None else str(Cursor(last.created_at, last.id))
