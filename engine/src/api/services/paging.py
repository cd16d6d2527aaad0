"""Opaque cursors: where a list that is ordered by a time and an id was left."""

import base64
import binascii
from dataclasses import dataclass

from src.api.errors import BadRequest

__all__ = ["Cursor"]


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
