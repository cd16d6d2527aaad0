"""A TCP proxy in front of an engine that cuts connections at chosen bytes."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

__all__ = ["CuttingProxy", "open_cutting_proxy"]


@dataclass
class CuttingProxy:
    """`cuts` holds, for each connection in turn, after how many response bytes to cut it; later ones are not cut.

    0 cuts as soon as the request has been forwarded.
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
def open_cutting_proxy(target: int, cuts: list[int]) -> Iterator[CuttingProxy]:
    """Run a proxy in front of the engine on this port of the loopback address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        line = CuttingProxy(target, cuts, listener.getsockname()[1])
        threading.Thread(target=line.serve, args=(listener,), daemon=True).start()
        yield line
        listener.shutdown(socket.SHUT_RDWR)
