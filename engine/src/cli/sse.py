"""Server-sent events out of bytes, as they come."""

from collections.abc import Iterable, Iterator

from src.cli.errors import Cut
from src.cli.jsontypes import JsonObject, parsed

__all__ = ["MAX_EVENT", "read"]

MAX_EVENT = 16 * 1024 * 1024
"""Bytes of one event; a stream with a longer one is no engine's."""


def read(pieces: Iterable[bytes]) -> Iterator[JsonObject]:
    """The `data` of each event that is complete. Raises `Cut` for what is not the engine's stream."""
    data: list[str] = []
    for line in _lines(pieces):
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            yield _event("\n".join(data))
            data = []


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Without their ends. The engine ends lines by a line feed; a carriage return before it is allowed."""
    held = bytearray()
    for piece in pieces:
        held += piece
        *whole, rest = held.split(b"\n")
        if len(rest) > MAX_EVENT:
            raise Cut("The stream holds an event that is too long to be one of an engine's.")
        for line in whole:
            yield line.rstrip(b"\r").decode(errors="replace")
        held = bytearray(rest)


def _event(data: str) -> JsonObject:
    try:
        return parsed(data)
    except ValueError as error:
        raise Cut("The stream holds something that is not an event of an engine.") from error
