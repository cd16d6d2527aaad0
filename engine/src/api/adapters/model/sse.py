"""Parse server-sent events incrementally, as far as chat completions use them."""

from src.api.errors import ModelCut

__all__ = ["EventReader"]

MAX_LINE = 4_194_304


class EventReader:
    """Split a body into the data of its events. Comments and other fields are dropped.

    Lines are decoded only when complete, so a chunk may end inside a character. A line that the stream's end cuts off
    is never returned. Raises `ModelCut` for a line of more than 4 MiB.
    """

    def __init__(self) -> None:
        self._partial = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the data lines that this piece completes. CR LF, LF, and a CR followed by more end a line."""
        body = self._partial + piece if self._partial else piece
        if b"\r" in body:
            body = _normalize_newlines(body)
        *lines, self._partial = body.split(b"\n")
        if len(self._partial) > MAX_LINE:
            raise ModelCut(
                "The model's host sent a line of more than 4 MiB, which no answer needs. The request was aborted."
            )
        return [line[5:].strip() for line in lines if line.startswith(b"data:")]


def _normalize_newlines(body: bytes) -> bytes:
    """Turn CR and CR LF into LF. A CR at the very end stays, as it may be half of a CR LF."""
    last = body[-1:] == b"\r"
    body = (body[:-1] if last else body).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return body + b"\r" if last else body
