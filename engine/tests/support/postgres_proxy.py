"""A proxy between the store and PostgreSQL that a test can cut, stop and observe."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

__all__ = ["PostgresProxy", "postgres_proxy"]

IDLE = b"I"


class PostgresProxy:
    """Forwards PostgreSQL's messages in both directions.

    `outside` collects messages sent while no transaction is open; `named` collects statements prepared under a name.
    `executed` collects the text of everything that is executed, in order; several statements in one text count once.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.outside: list[bytes] = []
        self.named: list[bytes] = []
        self.executed: list[str] = []
        self.cut_after: bytes | None = None
        self.silent = False

    async def listen(self) -> None:
        """Accept connections, always on the same port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Refuse new connections and cut the existing ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()
        await asyncio.sleep(0)

    def cut(self) -> None:
        """Cut every connection, as a killed server does."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(*self._target)
        self._writers |= {to_client, to_server}
        state = [b""]
        try:
            to_server.write(await _startup(client))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._requests(client, to_server, state))
                tasks.create_task(self._answers(server, to_client, state))
        except* (OSError, EOFError):
            to_client.transport.abort()
            to_server.transport.abort()

    async def _requests(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, state: list[bytes]) -> None:
        texts = _ExecutedTexts()
        while True:
            kind, body = await _message(source)
            if (text := texts.add(kind, body)) is not None:
                self.executed.append(text)
            if state[0] == IDLE:
                self.outside.append(kind + body)
            if kind == b"P" and not body.startswith(b"\0"):
                self.named.append(body)
            if not self.silent:
                target.write(_packed(kind, body))
            if self.cut_after is not None and body.startswith(self.cut_after):
                state[0] = b"cut"

    async def _answers(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, state: list[bytes]) -> None:
        while True:
            kind, body = await _message(source)
            if state[0] == b"cut":
                raise EOFError
            if kind == b"Z":
                state[0] = body
            target.write(_packed(kind, body))


class _ExecutedTexts:
    """Tell from the messages of one connection which statement each of them executes."""

    def __init__(self) -> None:
        self._prepared: dict[bytes, str] = {}
        self._bound: dict[bytes, str] = {}

    def add(self, kind: bytes, body: bytes) -> str | None:
        match kind:
            case b"Q":
                return body.rstrip(b"\0").decode()
            case b"P":
                name, text, _ = body.split(b"\0", 2)
                self._prepared[name] = text.decode()
            case b"B":
                portal, name, _ = body.split(b"\0", 2)
                self._bound[portal] = self._prepared[name]
            case b"E":
                return self._bound[body.split(b"\0", 1)[0]]
        return None


async def _startup(source: asyncio.StreamReader) -> bytes:
    length = await source.readexactly(4)
    return length + await source.readexactly(int.from_bytes(length) - 4)


async def _message(source: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await source.readexactly(5)
    return head[:1], await source.readexactly(int.from_bytes(head[1:]) - 4)


def _packed(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4) + body


@asynccontextmanager
async def postgres_proxy(url: str) -> AsyncIterator[tuple[PostgresProxy, str]]:
    """Start a proxy in front of the server of `url`; yield the proxy and the URL that leads through it."""
    parts = urlsplit(url)
    proxy = PostgresProxy(parts.hostname or "", parts.port or 5432)
    await proxy.listen()
    credentials = parts.netloc.rpartition("@")[0]
    through = urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{proxy.port}", query="sslmode=disable"))
    try:
        yield proxy, through
    finally:
        await proxy.down()
