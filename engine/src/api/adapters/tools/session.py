"""Hold one MCP session in its own task, until it is retired and its last call has ended."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import mcp_types
from mcp import Client, MCPError
from mcp.client._transport import TransportStreams
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.message import SessionMessage
from mcp_types.version import LATEST_HANDSHAKE_VERSION
from pydantic import TypeAdapter

from skyflo_common.redaction import Redactor
from src.api.adapters.tools.child_link import ChildLink
from src.api.adapters.tools.endpoint import ChildEndpoint, ServerEndpoint
from src.api.adapters.tools.http_link import HttpLink
from src.api.adapters.tools.link import Link, PacedStream
from src.api.adapters.tools.transport import OutgoingCall, outgoing_call
from src.api.adapters.tools.wire_repair import UNREADABLE_META, drop_unreadable_tools
from src.api.errors import ToolsUnavailable
from src.api.ports import Clock
from src.api.schemas.base import JsonObject

__all__ = ["McpSession", "OnProgress", "ToolPages"]

logger = logging.getLogger(__name__)


class OnProgress(Protocol):
    async def __call__(self, progress: float, total: float | None, message: str | None) -> None: ...


_CONNECT_SECONDS = 15
_CHILD_START_SECONDS = 60  # a command may first install its server
_LIST_SECONDS = 15
_MAX_PAGES = 20
_CALL_RESULT: TypeAdapter[mcp_types.CallToolResult | mcp_types.InputRequiredResult] = TypeAdapter(
    mcp_types.CallToolResult | mcp_types.InputRequiredResult
)
_CLIENT_INFO = mcp_types.Implementation(name="skyflo-engine", version="0.1.0")


_REPEATED_PAGE = "The server's list repeats a page, so its end was not reached."
_TOO_MANY_PAGES = f"The server's list has more than {_MAX_PAGES} pages, so its end was not reached."


@dataclass(frozen=True, slots=True)
class ToolPages:
    """A server's list, the names of entries that can't be read, and why there may be more."""

    tools: list[mcp_types.Tool]
    unreadable: list[str]
    problem: str | None = None


class McpSession:
    """An open session. `on_list_changed` is called when the server announces a new tool list.

    `chosen` are the names of the only tools that are wanted; empty means all.
    """

    def __init__(
        self,
        endpoint: ServerEndpoint,
        on_list_changed: Callable[[], None],
        clock: Clock,
        redactor: Redactor,
        chosen: frozenset[str] = frozenset(),
    ) -> None:
        self.endpoint = endpoint
        self._on_list_changed = on_list_changed
        self._clock = clock
        self._redactor = redactor
        self._chosen = chosen
        self._link: Link = ChildLink(endpoint, redactor) if isinstance(endpoint, ChildEndpoint) else HttpLink(endpoint)
        self._client: Client | None = None
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._retired = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect and negotiate. Raises `ToolsUnavailable` with the reason."""
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._keep_open(ready), name="mcp-session")
        try:
            async with asyncio.timeout(_CHILD_START_SECONDS if self.is_exclusive else _CONNECT_SECONDS):
                await ready
        except TimeoutError as error:
            raise ToolsUnavailable("The server did not answer the first request in time.") from error
        finally:
            if self._client is None:
                self._task.cancel()

    @property
    def is_open(self) -> bool:
        return self._task is not None and not self._task.done()

    @property
    def is_exclusive(self) -> bool:
        """Whether it must have closed before another session with the same server opens."""
        return self._link.is_exclusive

    @property
    def is_busy(self) -> bool:
        return self._calls > 0

    async def closed(self) -> None:
        """Wait until it has closed: it must be retired, and its calls end."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def retire(self) -> None:
        """Accept no new calls; the session closes after the last one in progress."""
        self._retired.set()

    async def aclose(self) -> None:
        """Close the session now."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def list_tools(self) -> ToolPages:
        """Read the pages of the server's list. Raises `ToolsUnavailable`."""
        tools: list[mcp_types.Tool] = []
        unreadable: list[str] = []
        cursors: list[str | None] = [None]
        try:
            async with asyncio.timeout(_LIST_SECONDS):
                while len(cursors) <= _MAX_PAGES:
                    page = await self._require_client().list_tools(cursor=cursors[-1])
                    tools += page.tools
                    unreadable += (page.meta or {}).get(UNREADABLE_META, [])
                    if page.next_cursor is None:
                        return ToolPages(tools, unreadable)
                    if page.next_cursor in cursors:
                        return ToolPages(tools, unreadable, _REPEATED_PAGE)
                    cursors.append(page.next_cursor)
        except TimeoutError as error:
            raise ToolsUnavailable("The server did not list its tools in time.") from error
        except Exception as error:  # the boundary to the server: the client raises many types for a bad answer
            raise ToolsUnavailable(self._describe(error)) from error
        return ToolPages(tools, unreadable, _TOO_MANY_PAGES)

    async def call(
        self, tool: str, arguments: JsonObject, meta: JsonObject, outgoing: OutgoingCall, progress: OnProgress | None
    ) -> mcp_types.CallToolResult | mcp_types.InputRequiredResult:
        """Send one `tools/call` if `outgoing` allows it.

        The request is sent below `ClientSession.call_tool`, which would check the result against the server's output
        schema on the event loop: a stranger's pattern can take for ever, and a mismatch would hide a change's outcome.

        Raises what the MCP client raises; `outgoing.state` says whether the request was sent.
        """
        params = mcp_types.CallToolRequestParams.model_validate(
            {"name": tool, "arguments": arguments, "_meta": meta or None}
        )
        self._calls += 1
        self._idle.clear()
        token = outgoing_call.set(outgoing)
        try:
            return await self._require_client().session.send_request(
                mcp_types.CallToolRequest(params=params), _CALL_RESULT, progress_callback=progress
            )
        except MCPError:
            outgoing.error = outgoing.error or (self._link.last_error if self._link.lost.is_set() else None)
            raise
        finally:
            outgoing_call.reset(token)
            self._calls -= 1
            if not self._calls:
                self._idle.set()

    async def follow_changes(self) -> bool:
        """Listen for list changes until that stream is lost. Returns False if the server offers no such stream."""
        try:
            async with self._require_client().listen(tools_list_changed=True) as changes:
                if not changes.honored.tools_list_changed:
                    return False
                self._on_list_changed()  # a change before this stream was open was announced to nobody
                async for _ in changes:
                    self._on_list_changed()
        except SubscriptionLost:
            return True
        except (ListenNotSupportedError, MCPError, ToolsUnavailable):
            return False
        except Exception as error:  # noqa: BLE001 - the boundary to the server: without this stream its list is polled
            logger.warning(
                "changes of a tool list are not announced: %s", self._describe(error), extra={"action": "tools.no_news"}
            )
            return False
        return True

    async def _keep_open(self, ready: asyncio.Future[None]) -> None:
        try:
            async with Client(
                self._open_paced(), cache=None, client_info=_CLIENT_INFO, message_handler=self._on_message
            ) as client:
                self._client = client
                ready.set_result(None)
                await self._wait_for_end()
        except Exception as error:  # noqa: BLE001 - the boundary to the server; a broken session is opened again
            if not ready.done():
                ready.set_exception(ToolsUnavailable(self._describe(error)))
                return
            logger.warning("an MCP session ended: %s", self._describe(error), extra={"action": "tools.session_lost"})
            self._on_list_changed()

    async def _wait_for_end(self) -> None:
        """Wait until the session is retired and its calls have ended. Raises `ToolsUnavailable` if the link is lost."""
        waits = [asyncio.create_task(self._end_of_calls()), asyncio.create_task(self._link.lost.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self._link.lost.is_set() and not self._retired.is_set():
            raise ToolsUnavailable(self._link.last_error or "the connection was lost")

    async def _end_of_calls(self) -> None:
        await self._retired.wait()
        await self._idle.wait()

    @asynccontextmanager
    async def _open_paced(self) -> AsyncIterator[TransportStreams]:
        async with self._link.open() as (received, answers):
            yield PacedStream(received, self._clock, self._repair), answers

    def _repair(self, item: SessionMessage | Exception) -> SessionMessage | Exception:
        """Drop unreadable entries from a page of the tool list, and their names into its metadata."""
        message = item.message if isinstance(item, SessionMessage) else None
        if isinstance(message, mcp_types.JSONRPCResponse) and isinstance(message.result.get("tools"), list):
            message.result = drop_unreadable_tools(message.result, self._version, self._chosen)
        return item

    @property
    def _version(self) -> str:
        """The version of the protocol that was agreed on."""
        version = self._client.session.protocol_version if self._client is not None else None
        return version or LATEST_HANDSHAKE_VERSION

    async def _on_message(self, message: object) -> None:
        if isinstance(message, mcp_types.ToolListChangedNotification):
            self._on_list_changed()

    def _require_client(self) -> Client:
        if self._client is None or not self.is_open:
            raise ToolsUnavailable("The session with the server has ended.")
        return self._client

    def _describe(self, error: BaseException) -> str:
        """Describe an error in one line: the transport's cause if known, else the client's text."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        text = self._link.last_error or str(error) or type(error).__name__
        return self._redactor.redact_text(text.partition("\n")[0][:500])
