"""A scripted language model over HTTP with OpenAI's API: `POST /v1/chat/completions`.

    python -m tests.support.scripted_model --port 9000 --script script.json

Also: `GET /v1/models`, `GET /requests` (the requests, and how each response ended), `DELETE /requests`. It implements
HTTP itself, because it must be able to cut a response at any byte.
"""

import argparse
import asyncio
import hashlib
import json
import socket
import struct
import sys
import threading
from collections import Counter, deque
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from tests.support.model_script import Conversation, Reply, Script
from tests.support.model_wire import Pause, complete_body, events

__all__ = ["ScriptedModel", "scripted_model_in_thread", "serve_scripted_model"]

MAX_HEAD = 65_536
MAX_BODY = 33_554_432
TICK = 0.02


@dataclass(slots=True)
class RecordedRequest:
    """One request. `ended`: the response was complete, the client closed, or the script cut it."""

    number: int
    headers: Mapping[str, str]
    body: JsonValue
    ended: Literal["open", "whole", "closed", "broken"] = "open"
    events: int = 0


class _ClientGone(Exception):
    pass


@dataclass(slots=True)
class _Connection:
    """One connection, which checks on each write whether the client is still connected."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def check(self) -> None:
        """Raise `_ClientGone` if the client has closed. With data that it had not read, that arrives as a reset."""
        if self.reader.at_eof() or self.reader.exception() is not None or self.writer.is_closing():
            raise _ClientGone

    async def send(self, data: bytes) -> None:
        self.check()
        self.writer.write(data)
        await self.writer.drain()

    async def wait(self, seconds: float) -> None:
        end = asyncio.get_running_loop().time() + seconds
        while (left := end - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(min(left, TICK))
            self.check()

    async def wait_for(self, name: str, let: Collection[str]) -> None:
        while name not in let:
            await self.wait(TICK)

    def reset(self) -> None:
        """Close with RST, as a crashed host does."""
        plain: socket.socket = self.writer.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class _Body:
    """A streamed body in HTTP chunks, cut where the reply says."""

    def __init__(self, connection: _Connection, reply: Reply) -> None:
        self._connection = connection
        self._left = reply.drop_at
        self._size = reply.chunk

    async def write(self, data: bytes) -> bool:
        """Write data. Returns False once the body has reached the byte at which it is cut."""
        if self._left is not None:
            data, self._left = data[: self._left], max(0, self._left - len(data))
        for start in range(0, len(data), self._size or len(data) or 1):
            piece = data[start : start + (self._size or len(data))]
            await self._connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            if self._size:
                await asyncio.sleep(0)
        return self._left is None or self._left > 0

    async def end(self) -> None:
        await self._connection.send(b"0\r\n\r\n")


@dataclass(slots=True)
class ScriptedModel:
    """The model's script and its recorded requests. `script` may be replaced at any time."""

    script: Script
    requests: deque[RecordedRequest] = field(default_factory=lambda: deque(maxlen=2000))
    host: str = "127.0.0.1"
    port: int = 0
    connections: int = 0
    _attempts: Counter[str] = field(default_factory=Counter)
    _let: set[str] = field(default_factory=set)
    _number: int = 0
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Return the value for LLM_HOST."""
        return f"http://{self.host}:{self.port}/v1"

    def resume(self, name: str) -> None:
        """Resume the replies that wait for this name."""
        self._let.add(name)

    def reset(self) -> None:
        self.requests.clear()
        self._let.clear()
        self._attempts.clear()

    async def disconnect(self) -> None:
        """Close every connection."""
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(reader, writer)
        try:
            while (head := await _head(reader)) is not None:
                method, path, headers = head
                body = await reader.readexactly(min(int(headers.get("content-length", "0")), MAX_BODY))
                if not await self._respond(connection, method, path, headers, body):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, _ClientGone):
            return
        finally:
            writer.close()

    async def _respond(
        self, connection: _Connection, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> bool:
        """Answer one request. Returns whether the connection may be reused."""
        match method, path.partition("?")[0].rstrip("/"):
            case "POST", "/v1/chat/completions" | "/chat/completions":
                return await self._complete(connection, headers, body)
            case "GET", "/requests":
                await _plain(connection, 200, [asdict(asked) for asked in self.requests])
            case "DELETE", "/requests":
                self.reset()
                await _plain(connection, 200, {"status": "ok"})
            case "GET", "/v1/models":
                await _plain(connection, 200, {"object": "list", "data": [{"id": "scripted", "object": "model"}]})
            case _:
                await _plain(connection, 404, {"error": {"message": f"there is no {method} {path}"}})
        return True

    async def _complete(self, connection: _Connection, headers: Mapping[str, str], body: bytes) -> bool:
        conversation = Conversation.model_validate_json(body)
        self._number += 1
        asked = RecordedRequest(self._number, headers, json.loads(body))
        self.requests.append(asked)
        key = hashlib.sha256(conversation.model_dump_json(include={"messages"}).encode()).hexdigest()
        self._attempts[key] += 1
        reply = self.script.answer(conversation, self._attempts[key])
        try:
            asked.ended = "broken"
            reusable = await self._answer(connection, reply, conversation, asked)
        except (_ClientGone, ConnectionError):
            asked.ended = "closed"
            raise
        return reusable

    async def _answer(
        self, connection: _Connection, reply: Reply, conversation: Conversation, asked: RecordedRequest
    ) -> bool:
        asked.ended = "open"
        await connection.wait(reply.hang)
        if reply.refuse:
            asked.ended = "broken"
            connection.reset()
            return False
        if reply.status != 200 or not reply.stream:
            content = reply.error if reply.status != 200 else json.loads(complete_body(reply, conversation))
            await _plain(connection, reply.status, content, reply.headers)
            asked.ended = "whole"
            return True
        return await self._stream(connection, reply, conversation, asked)

    async def _stream(
        self, connection: _Connection, reply: Reply, conversation: Conversation, asked: RecordedRequest
    ) -> bool:
        more = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
        head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{more}transfer-encoding: chunked\r\n\r\n"
        await connection.send(head.encode())
        body = _Body(connection, reply)
        for event in events(reply, conversation):
            if isinstance(event, Pause) and event.until is not None:
                await connection.wait_for(event.until, self._let)
            elif isinstance(event, Pause):
                await connection.wait(event.seconds)
            elif await body.write(event):
                asked.events += 1
            else:
                return await self._drop(connection, reply, body, asked)
        await body.end()
        asked.ended = "whole"
        return True

    async def _drop(self, connection: _Connection, reply: Reply, body: _Body, asked: RecordedRequest) -> bool:
        asked.ended = "broken"
        if reply.drop == "end":
            await body.end()
        else:
            connection.reset()
        return False


async def _head(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str]] | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines if line)
    return method, path, {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _plain(
    connection: _Connection,
    status: int,
    content: JsonValue | list[dict[str, object]],
    headers: Mapping[str, str] | None = None,
) -> None:
    body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
    kind = "text/html" if isinstance(content, str) else "application/json"
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = f"HTTP/1.1 {status} Scripted\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{more}\r\n"
    await connection.send(head.encode() + body)


@asynccontextmanager
async def serve_scripted_model(script: Script, port: int = 0, host: str = "127.0.0.1") -> AsyncIterator[ScriptedModel]:
    """Serve the model on a port of `host` (by default any free one), in this event loop."""
    model = ScriptedModel(script, host=host)
    server = await asyncio.start_server(model.accept, host, port, limit=MAX_HEAD)
    model.port = server.sockets[0].getsockname()[1]
    try:
        yield model
    finally:
        server.close()
        await model.disconnect()


@contextmanager
def scripted_model_in_thread(script: Script, port: int = 0, host: str = "127.0.0.1") -> Iterator[ScriptedModel]:
    """Serve the model on an event loop in another thread, for tests whose own loop is recreated."""
    ready: list[ScriptedModel] = []
    loop = asyncio.new_event_loop()
    started, stop = threading.Event(), asyncio.Event()

    async def main() -> None:
        async with serve_scripted_model(script, port, host) as model:
            ready.append(model)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    if not started.wait(10):
        raise RuntimeError("the scripted model did not start")
    try:
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


async def _main(port: int, script: Script) -> None:
    async with serve_scripted_model(script, port) as model:
        sys.stdout.write(f"scripted model on {model.url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A scripted language model in OpenAI's wire, on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", type=Path, required=True)
    options = parser.parse_args()
    try:
        asyncio.run(_main(options.port, Script.model_validate_json(options.script.read_text())))
    except KeyboardInterrupt:
        sys.exit(130)
