"""Server-sent events, read as bytes come: only what the chat-completions wire needs of them."""

from src.api.errors import ModelCut

__all__ = ["EventReader"]

MAX_LINE = 4_194_304


class EventReader:
    """Turns pieces of a body into the data of its events. Comments and other fields are dropped.

    Bytes are decoded by nobody until a line is whole, so a character may be cut anywhere. An event that was begun and
    not ended by the end of its line is never given out. Raises `ModelCut` for a line of more than 4 MiB.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """The data lines that this piece completes. CR LF and LF end a line; so does a CR with more to follow."""
        body = self._rest + piece if self._rest else piece
        if b"\r" in body:
            body = _newlines(body)
        *lines, self._rest = body.split(b"\n")
        if len(self._rest) > MAX_LINE:
            raise ModelCut("The model's host sent a line of more than 4 MiB, which no answer needs; it was given up.")
        return [line[5:].strip() for line in lines if line.startswith(b"data:")]


def _newlines(body: bytes) -> bytes:
    """A CR at the very end may be half of a CR LF, and waits for what follows."""
    last = body[-1:] == b"\r"
    body = (body[:-1] if last else body).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return body + b"\r" if last else body
