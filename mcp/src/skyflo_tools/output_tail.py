"""Keep the beginning and the end of an output of any length within a bound."""

from dataclasses import dataclass, field

HEAD_BYTES = 8 * 1024
TAIL_BYTES = 24 * 1024


@dataclass
class OutputTail:
    """Collects bytes; of more than 32 KiB it keeps the first 8 and the last 24."""

    _head: bytearray = field(default_factory=bytearray)
    _tail: bytearray = field(default_factory=bytearray)
    size: int = 0

    def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        room = HEAD_BYTES - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[room:]
        del self._tail[:-TAIL_BYTES]

    def text(self) -> str:
        """Return what was kept, and say how much is left out in between."""
        head, tail = bytes(self._head), bytes(self._tail)
        if self.size > len(head) + len(tail):  # whole lines only, so that no half of a secret is left
            head, tail = head[: head.rfind(b"\n") + 1], tail[tail.find(b"\n") + 1 :]
            head += f"… {self.size - len(head) - len(tail)} bytes left out …\n".encode()
        return (head + tail).decode("utf-8", errors="replace")
