"""Opaque cursors: where a list that is ordered by a time and an id was left."""

import base64
import binascii
from dataclasses import dataclass
from typing import TypeVar

from src.api.errors import BadRequest
from src.api.ports import Reader
from src.api.schemas.query import Passage
from src.api.schemas.record import Record

__all__ = ["Cursor", "newest", "passage"]

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row that a page showed. The next page begins below it."""

    time: int
    id: str

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(f"{self.time}:{self.id}".encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str | None) -> "Cursor | None":
        """Raises `BadRequest` unless this is a cursor that a page has given out."""
        if text is None:
            return None
        try:
            time, colon, row = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii").partition(":")
        except (binascii.Error, UnicodeError, ValueError):
            time, colon, row = "", "", ""
        if not (colon and time.isdecimal() and len(time) <= 15 and 0 < len(row) <= 64 and row.isprintable()):
            raise BadRequest("This cursor is not one that a page gave out. Leave it out to start at the beginning.")
        return cls(int(time), row)


def passage(after: Cursor | None, until: Cursor | None = None) -> Passage:
    """Of the column that the list is ordered by: what comes below one cursor, as far as another."""
    ends = [None if each is None else (each.time, each.id) for each in (after, until)]
    return Passage(*ends)


async def newest(reader: Reader, kind: type[R], after: Cursor | None, limit: int) -> list[R]:
    """At most `limit` rows of a table with `created_at` and `id`, those that came last first, below the cursor."""
    return await reader.find(kind, {"created_at": passage(after)}, "-created_at,-id", limit)
