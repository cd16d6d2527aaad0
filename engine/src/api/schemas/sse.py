"""Encode server-sent events."""

from collections.abc import Iterable
from typing import NamedTuple

import orjson

__all__ = ["MEDIA_TYPE", "RETRY", "StreamItem", "encode"]

MEDIA_TYPE = "text/event-stream"

RETRY = b"retry: 1000\n\n"
"""Sent once at the start of a stream: the client's reconnection delay."""


class StreamItem(NamedTuple):
    """One event with its envelope, ready to send.

    `body` is one line of JSON including `type`. `seq` is None for events that belong to the stream rather than the run,
    which are never replayed.
    """

    run_id: str
    conversation_id: str | None
    type: str
    body: str
    timestamp: int
    seq: int | None = None

    def data(self) -> str:
        """Return the JSON of the `data:` line."""
        envelope: dict[str, str | int] = {"run_id": self.run_id, "timestamp": self.timestamp}
        if self.conversation_id is not None:
            envelope["conversation_id"] = self.conversation_id
        if self.seq is not None:
            envelope["seq"] = self.seq
        # Both are objects, so joining their texts avoids parsing the body. This runs once per token and reader.
        return f"{orjson.dumps(envelope).decode()[:-1]},{self.body[1:]}"


def encode(items: Iterable[StreamItem]) -> bytes:
    """Encode items for the connection."""
    return "".join(map(_frame, items)).encode()


def _frame(item: StreamItem) -> str:
    frame = f"event: {item.type}\ndata: {item.data()}\n\n"
    return frame if item.seq is None else f"id: {item.run_id}:{item.seq}\n{frame}"
