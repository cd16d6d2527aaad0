"""A bad line to an engine: connections that break off where a test wants it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

__all__ = ["BadLine", "bad_line"]


@dataclass
class BadLine:
    """Connection after connection, `cuts` says after how many bytes of answers each is cut; then none is.

    0 cuts as soon as the request has been passed on.
    """

    target: int
    cuts: list[int]
    port: int = 0
    taken: int = 0
    _threads: list[threading.Thread] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def serve(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                here, _ = listener.accept()
                left = self.cuts[self.taken] if self.taken < len(self.cuts) else None
                self.taken += 1
                threading.Thread(target=self._connect, args=(here, left), daemon=True).start()

    def _connect(self, here: socket.socket, left: int | None) -> None:
        with here, socket.create_connection(("127.0.0.1", self.target)) as there:
            threading.Thread(target=_pass_on, args=(here, there), daemon=True).start()
            _pass_on(there, here, left)
            for each in (here, there):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)


def _pass_on(source: socket.socket, sink: socket.socket, left: int | None = None) -> None:
    with suppress(OSError):
        while piece := source.recv(65_536):
            if left is not None:
                piece, left = piece[:left], left - len(piece[:left])
            sink.sendall(piece)
            if left == 0:
                return


@contextmanager
def bad_line(target: int, cuts: list[int]) -> Iterator[BadLine]:
    """To the engine at this port of the loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        line = BadLine(target, cuts, listener.getsockname()[1])
        threading.Thread(target=line.serve, args=(listener,), daemon=True).start()
        yield line
        listener.shutdown(socket.SHUT_RDWR)
