"""Server-sent events: what a stream says, and how that is put on the wire."""

from collections.abc import Iterable
from typing import NamedTuple

import orjson

__all__ = ["MEDIA_TYPE", "RETRY", "StreamItem", "encode"]

MEDIA_TYPE = "text/event-stream"

RETRY = b"retry: 1000\n\n"
"""Sent once, at the start of a stream: how long a client waits before it comes back."""


class StreamItem(NamedTuple):
    """One event on its way to a client: a fact in its envelope.

    `body` is the fact as one line of JSON, `type` included; `seq` is None for what belongs to the stream and not to
    the run, and is never replayed.
    """

    run_id: str
    conversation_id: str | None
    type: str
    body: str
    timestamp: int
    seq: int | None = None

    def data(self) -> str:
        """The JSON of the `data:` line."""
        envelope: dict[str, str | int] = {"run_id": self.run_id, "timestamp": self.timestamp}
        if self.conversation_id is not None:
            envelope["conversation_id"] = self.conversation_id
        if self.seq is not None:
            envelope["seq"] = self.seq
        # Both are objects, so joining their texts spares parsing the body: this runs once for each token and reader.
        return f"{orjson.dumps(envelope).decode()[:-1]},{self.body[1:]}"


def encode(items: Iterable[StreamItem]) -> bytes:
    """The items as they are written to the connection."""
    return "".join(map(_frame, items)).encode()


def _frame(item: StreamItem) -> str:
    frame = f"event: {item.type}\ndata: {item.data()}\n\n"
    return frame if item.seq is None else f"id: {item.run_id}:{item.seq}\n{frame}"
