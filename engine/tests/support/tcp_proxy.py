"""A plain TCP proxy that spreads connections over several servers, and that a test can cut off from them."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle

__all__ = ["TcpProxy", "open_tcp_proxy"]

CONNECT_SECONDS = 5.0


@dataclass
class TcpProxy:
    """Gives each connection to the next server that accepts one, as a load balancer does. `targets` are ports."""

    targets: list[int]
    port: int = 0
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _flowing: asyncio.Event = field(default_factory=asyncio.Event)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _next: Iterator[int] = field(init=False)

    def __post_init__(self) -> None:
        self._next = cycle(range(len(self.targets)))

    def silence(self) -> None:
        """Forward nothing from now on, as a network that drops every packet."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def restore(self) -> None:
        """Forward again. Connections from before are cut: what they carried is lost."""
        self._loop.call_soon_threadsafe(self._cut_and_restore)

    def serve(self, listener: socket.socket, started: threading.Event) -> None:
        """Serve until `stop`, in the caller's thread."""
        self._loop.run_until_complete(self._serve(listener, started))
        self._loop.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)

    async def _serve(self, listener: socket.socket, started: threading.Event) -> None:
        self._flowing.set()
        server = await asyncio.start_server(self._accept, sock=listener)
        started.set()
        await self._stopping.wait()
        server.close()
        self._cut()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _cut_and_restore(self) -> None:
        self._cut()
        self._flowing.set()

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self._writers.add(to_client)
        server = None
        try:
            await self._flowing.wait()
            server = await self._connect()
            if server is None:
                return
            self._writers.add(server[1])
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._forward(client, server[1]))
                tasks.create_task(self._forward(server[0], to_client))
        except* OSError:
            to_client.transport.abort()
        finally:
            for writer in (to_client, *(server[1:] if server else ())):
                self._writers.discard(writer)
                writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Connect to the next server that accepts, or return None if none of them does."""
        for _ in self.targets:
            target = self.targets[next(self._next)]
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(CONNECT_SECONDS):
                    return await asyncio.open_connection("127.0.0.1", target)
        return None

    async def _forward(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while piece := await source.read(65_536):
            await self._flowing.wait()
            target.write(piece)
            await target.drain()
        with suppress(OSError):  # the other side may have gone first
            target.write_eof()


@contextmanager
def open_tcp_proxy(*targets: int) -> Iterator[TcpProxy]:
    """Run a proxy in front of servers on these ports of the loopback address, in a thread."""
    proxy, started = TcpProxy(list(targets)), threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    proxy.port = listener.getsockname()[1]
    thread = threading.Thread(target=proxy.serve, args=(listener, started), daemon=True)
    thread.start()
    assert started.wait(60), "the proxy did not start"
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join(60)
