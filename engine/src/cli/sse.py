"""Parse server-sent events from a stream of bytes."""

from collections.abc import Iterable, Iterator

from src.cli.errors import ConnectionLost
from src.cli.jsontypes import JsonObject, parse_object

__all__ = ["MAX_EVENT", "read_events"]

MAX_EVENT = 16 * 1024 * 1024
"""Maximum bytes of one event; a stream with a longer one does not come from an engine."""


def read_events(pieces: Iterable[bytes]) -> Iterator[JsonObject]:
    """Yield the `data` of each complete event. Raises `ConnectionLost` if the stream is not an engine's."""
    data: list[str] = []
    for line in _split_lines(pieces):
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            yield _parse_event("\n".join(data))
            data = []


def _split_lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Yield lines without their ends: a line feed, optionally after a carriage return."""
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        *lines, rest = buffer.split(b"\n")
        if len(rest) > MAX_EVENT:
            raise ConnectionLost("The stream contains an event that is longer than an engine sends.")
        for line in lines:
            yield line.rstrip(b"\r").decode(errors="replace")
        buffer = bytearray(rest)


def _parse_event(data: str) -> JsonObject:
    try:
        return parse_object(data)
    except ValueError as error:
        raise ConnectionLost("The stream contains data that is not an engine's event.") from error
