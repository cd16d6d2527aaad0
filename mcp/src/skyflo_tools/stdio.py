"""Serve MCP over standard input and output: one JSON-RPC message a line, and nothing else on standard output.

Threads read and write, so that pipes, files and terminals all work, and a client that stops reading never blocks the
event loop. They are daemon threads: one that hangs in a read or a write does not keep the process from ending.
"""

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from fcntl import F_DUPFD_CLOEXEC, fcntl

import anyio
import mcp_types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

MAX_LINE_BYTES = 4 * 1024 * 1024
ANSWER_SECONDS = 20.0
LAST_WRITE_SECONDS = 1.0
_CHUNK_BYTES = 64 * 1024
_FIRST_FREE_DESCRIPTOR = 3

Received = MemoryObjectReceiveStream[SessionMessage | Exception]
Answers = MemoryObjectSendStream[SessionMessage]


@dataclass(frozen=True)
class StandardStreams:
    """Descriptors of the client's pipes that nothing but the protocol uses."""

    reading: int
    writing: int


def claim_standard_streams() -> StandardStreams:
    """Take standard input and output for the protocol.

    Whatever else prints goes to standard error from now on, and child processes can't read the client's messages.
    """
    reading, writing = (fcntl(descriptor, F_DUPFD_CLOEXEC, _FIRST_FREE_DESCRIPTOR) for descriptor in (0, 1))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return StandardStreams(reading, writing)


@asynccontextmanager
async def open_stdio(streams: StandardStreams, stop: asyncio.Event) -> AsyncIterator[tuple[Received, Answers]]:
    """Yield the message streams of the client. They end with its input, or when `stop` is set.

    At the end of the input, requests that were read are still answered, for at most 20 s. `stop` is also set when the
    client no longer takes answers.
    """
    received, messages = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    answers, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
    connection = _Connection(streams, stop)
    reader = asyncio.create_task(connection.read(received), name="stdio-read")
    writer = asyncio.create_task(connection.write(outgoing), name="stdio-write")
    stopper = asyncio.create_task(_cancel_on(stop, reader), name="stdio-stop")
    try:
        yield messages, answers
    finally:
        await answers.aclose()
        await asyncio.wait([writer], timeout=LAST_WRITE_SECONDS)
        for task in (stopper, reader, writer):
            task.cancel()
        await asyncio.gather(stopper, reader, writer, return_exceptions=True)


async def _cancel_on(stop: asyncio.Event, reader: asyncio.Task[None]) -> None:
    await stop.wait()
    reader.cancel()


@dataclass
class _Connection:
    """Messages of one client. `pending` holds the ids of requests without an answer."""

    streams: StandardStreams
    stop: asyncio.Event
    pending: set[mcp_types.RequestId | None] = field(default_factory=set)
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, received: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        """Pass on the client's messages. At the end of its input, wait for the answers that are still due."""
        lines: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1)
        loop = asyncio.get_running_loop()
        threading.Thread(target=_queue_lines, args=(self.streams.reading, lines, loop), daemon=True).start()
        async with received:
            while (line := await lines.get()) is not None:
                if line.strip():
                    await self._receive(line, received)
            await self._wait_for_answers()

    async def _receive(self, line: bytes, received: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        try:
            message = mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False)
        except ValidationError:
            problem = "the message is longer than 4 MiB" if len(line) > MAX_LINE_BYTES else "not a JSON-RPC 2.0 message"
            error = {"code": mcp_types.PARSE_ERROR, "message": problem}
            await self._write_line(json.dumps({"jsonrpc": "2.0", "id": None, "error": error}))
            return
        if isinstance(message, mcp_types.JSONRPCRequest):
            self.pending.add(message.id)
        elif isinstance(message, mcp_types.JSONRPCNotification) and message.method == "notifications/cancelled":
            self._settle((message.params or {}).get("requestId"))
        await received.send(SessionMessage(message))

    async def write(self, outgoing: MemoryObjectReceiveStream[SessionMessage]) -> None:
        async with outgoing:
            async for item in outgoing:
                message = item.message
                await self._write_line(message.model_dump_json(by_alias=True, exclude_unset=True))
                if isinstance(message, mcp_types.JSONRPCResponse | mcp_types.JSONRPCError):
                    self._settle(message.id)

    async def _write_line(self, text: str) -> None:
        """Write one line. If the client no longer reads, everything ends."""
        try:
            await _run_in_daemon_thread(lambda: _write_all(self.streams.writing, text.encode() + b"\n"))
        except OSError:
            self.stop.set()

    def _settle(self, request_id: object) -> None:
        if isinstance(request_id, int | str):
            self.pending.discard(request_id)
            self.answered.set()

    async def _wait_for_answers(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                while self.pending:
                    self.answered.clear()
                    await self.answered.wait()


def _queue_lines(descriptor: int, lines: asyncio.Queue[bytes | None], loop: asyncio.AbstractEventLoop) -> None:
    """Put each line into the queue, then None. The next line is read only when the last one has been taken."""
    with suppress(RuntimeError):  # the loop has been closed: the process is ending
        for line in _read_lines(descriptor):
            asyncio.run_coroutine_threadsafe(lines.put(line), loop).result()
        asyncio.run_coroutine_threadsafe(lines.put(None), loop).result()


def _read_lines(descriptor: int) -> Iterator[bytes]:
    """Read lines. Of one that is too long, only the limit and one byte more are kept."""
    line = bytearray()
    while chunk := os.read(descriptor, _CHUNK_BYTES):
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            line += end[: MAX_LINE_BYTES + 1 - len(line)]
            yield bytes(line)
            line.clear()
        line += rest[: MAX_LINE_BYTES + 1 - len(line)]
    if line:
        yield bytes(line)


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


async def _run_in_daemon_thread(work: Callable[[], None]) -> None:
    """Run blocking work. Unlike `asyncio.to_thread`, the process can end while it hangs."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: OSError | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        error: OSError | None = None
        try:
            work()
        except OSError as raised:
            error = raised
        with suppress(RuntimeError):  # the loop has been closed
            loop.call_soon_threadsafe(settle, error)

    threading.Thread(target=run, name="stdio", daemon=True).start()
    await done
