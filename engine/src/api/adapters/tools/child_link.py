"""Run a tool server as a child process and exchange lines of JSON-RPC on its standard streams."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import mcp_types
from anyio.abc import AsyncResource
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client import Transport
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

from skyflo_common.redaction import Redactor
from src.api.adapters.subprocesses import LINE_BYTES, run_process
from src.api.adapters.tools.endpoint import ChildEndpoint
from src.api.adapters.tools.transport import MAX_BODY, MAX_VALUES, count_values, outgoing_call
from src.api.adapters.tools.wire_repair import replace_lone_surrogates
from src.api.errors import ToolsUnavailable

__all__ = ["ChildLink"]

logger = logging.getLogger(__name__)

_EXIT_SECONDS = 1.0
_Received = MemoryObjectReceiveStream[SessionMessage | Exception]


class _LineTooLong(Exception):
    """A line is longer, or holds more values, than a message may."""


class ChildLink:
    """A `Link` to a child process. It starts the child, and ends it when it closes."""

    is_exclusive = True

    def __init__(self, endpoint: ChildEndpoint, redactor: Redactor) -> None:
        self.last_error: str | None = None
        self.lost = asyncio.Event()
        self._command = endpoint.command
        self._redactor = redactor
        self._has_warned = False

    def open(self) -> Transport:
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[tuple[_Received, "_ChildWriter"]]:
        async with AsyncExitStack() as stack:
            try:
                process = await stack.enter_async_context(run_process(self._command, self._redactor))
            except (OSError, ValueError) as error:
                reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
                raise ToolsUnavailable(f"Its command can't be started: {reason}.") from error
            if process.stdin is None or process.stdout is None:
                raise ToolsUnavailable("Its command was started without pipes.")
            received, messages = anyio.create_memory_object_stream[SessionMessage | Exception](0)
            stack.callback(messages.close)
            stack.callback(received.close)
            reader = asyncio.create_task(self._read(process, process.stdout, received), name=self._command.name)
            try:
                yield messages, _ChildWriter(process.stdin, self.lost)
            finally:
                reader.cancel()
                await asyncio.wait([reader])

    async def _read(
        self,
        process: asyncio.subprocess.Process,
        output: asyncio.StreamReader,
        received: MemoryObjectSendStream[SessionMessage | Exception],
    ) -> None:
        """Pass on the child's messages until it ends, closes its output, or writes a line beyond the limit."""
        async with received:
            try:
                async for line in _read_lines(output):
                    message = self._parse(line)
                    if message is not None:
                        await received.send(SessionMessage(message))
                self.last_error = await _describe_end(process)
            except _LineTooLong:
                self.last_error = f"it wrote a line of more than {MAX_BODY >> 20} MiB or {MAX_VALUES} values"
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                return
            finally:
                self.lost.set()

    def _parse(self, line: bytes) -> mcp_types.JSONRPCMessage | None:
        """Parse one line. Other output than messages is skipped, and logged the first time."""
        if not line.strip():
            return None
        text = replace_lone_surrogates(line).decode(errors="replace")
        try:
            return mcp_types.jsonrpc_message_adapter.validate_json(text, by_name=False)
        except ValidationError:
            if not self._has_warned:
                self._has_warned = True
                logger.warning(
                    "%s prints other text than MCP messages; it is skipped",
                    self._command.name,
                    extra={"action": "tools.child_noise"},
                )
            return None


class _ChildWriter(AsyncResource):
    """Write messages in the caller's context, so that `outgoing_call` records what was sent."""

    def __init__(self, stdin: asyncio.StreamWriter, lost: asyncio.Event) -> None:
        self._stdin = stdin
        self._lost = lost

    async def send(self, item: SessionMessage, /) -> None:
        if self._lost.is_set() or self._stdin.is_closing():
            raise anyio.ClosedResourceError
        line = item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
        outgoing = outgoing_call.get()
        if outgoing is not None and _is_call(item.message):
            outgoing.check_before_send()
        self._stdin.write(line)
        try:
            await self._stdin.drain()
        except OSError as error:
            raise anyio.BrokenResourceError from error

    async def aclose(self) -> None:
        """Do nothing: the child's input closes with the link."""


def _is_call(message: mcp_types.JSONRPCMessage) -> bool:
    return isinstance(message, mcp_types.JSONRPCRequest) and message.method == "tools/call"


async def _read_lines(output: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Read whole lines. Little is read ahead, so that an answer does not wait behind megabytes of other messages."""
    line = bytearray()
    while chunk := await output.read(LINE_BYTES):
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            yield _checked(bytes(line + end))
            line.clear()
        line += rest
        if len(line) > MAX_BODY:
            raise _LineTooLong
    if line:
        yield _checked(bytes(line))


def _checked(line: bytes) -> bytes:
    if count_values(line) > MAX_VALUES:
        raise _LineTooLong
    return line


async def _describe_end(process: asyncio.subprocess.Process) -> str:
    try:
        async with asyncio.timeout(_EXIT_SECONDS):
            return f"its process ended with code {await process.wait()}"
    except TimeoutError:
        return "it closed its standard output"
