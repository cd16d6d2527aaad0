"""One MCP session with one server, kept open by a task of its own until it is retired and its last call has ended."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol, cast

import httpx2
import mcp_types
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost

from src.api.adapters.tools.endpoint import Endpoint
from src.api.adapters.tools.wire import GuardedTransport, Wire, on_wire
from src.api.errors import ToolsUnavailable
from src.api.schemas.base import JsonObject

__all__ = ["Link", "OnProgress"]

logger = logging.getLogger(__name__)


class OnProgress(Protocol):
    async def __call__(self, progress: float, total: float | None, message: str | None) -> None: ...


_CONNECT_SECONDS = 15
_LIST_SECONDS = 15
_MAX_PAGES = 20
_TIMEOUTS = httpx2.Timeout(connect=5, write=30, read=None, pool=5)
_LIMITS = httpx2.Limits(max_connections=200, max_keepalive_connections=20, keepalive_expiry=30)
_WHO = mcp_types.Implementation(name="skyflo-engine", version="0.1.0")


class Link:
    """An open session. `changed` is called when the server says that its list of tools is another."""

    def __init__(self, endpoint: Endpoint, changed: Callable[[], None]) -> None:
        self.endpoint = endpoint
        self._changed = changed
        self._transport = GuardedTransport(httpx2.AsyncHTTPTransport(limits=_LIMITS))
        self._client: Client | None = None
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._retired = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Negotiates. Raises `ToolsUnavailable` with the reason."""
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._hold(ready), name=f"mcp-session {self.endpoint.url}")
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await ready
        except TimeoutError as error:
            raise ToolsUnavailable("The server did not answer the first request in time.") from error
        finally:
            if self._client is None:
                self._task.cancel()

    @property
    def is_open(self) -> bool:
        return self._task is not None and not self._task.done()

    def retire(self) -> None:
        """No new calls; those under way end by themselves, and the session after them."""
        self._retired.set()

    async def aclose(self) -> None:
        """Ends the session now."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def list_tools(self) -> list[mcp_types.Tool]:
        """Every page of the server's list. Raises `ToolsUnavailable`."""
        tools: list[mcp_types.Tool] = []
        cursor: str | None = None
        try:
            async with asyncio.timeout(_LIST_SECONDS):
                for _ in range(_MAX_PAGES):
                    page = await self._connected().list_tools(cursor=cursor)
                    tools += page.tools
                    cursor = page.next_cursor
                    if cursor is None:
                        break
        except TimeoutError as error:
            raise ToolsUnavailable("The server did not list its tools in time.") from error
        except Exception as error:  # the boundary to the server: its client raises many types for a bad answer
            raise ToolsUnavailable(self._words(error)) from error
        return tools

    async def call(
        self, tool: str, arguments: JsonObject, meta: JsonObject, wire: Wire, progress: OnProgress | None
    ) -> mcp_types.CallToolResult | mcp_types.InputRequiredResult:
        """Sends `tools/call` once, as `wire` allows. Raises whatever the client raises; `wire` says how far it came."""
        self._calls += 1
        self._idle.clear()
        token = on_wire.set(wire)
        try:
            return await self._connected().session.call_tool(
                tool,
                arguments,
                progress_callback=progress,
                meta=cast(mcp_types.RequestParamsMeta, meta) if meta else None,
                allow_input_required=True,
            )
        finally:
            on_wire.reset(token)
            self._calls -= 1
            if not self._calls:
                self._idle.set()

    async def follow(self) -> bool:
        """Stands by for changes of the list until that stream is lost. False where the server has no such stream."""
        try:
            async with self._connected().listen(tools_list_changed=True) as changes:
                if not changes.honored.tools_list_changed:
                    return False
                async for _ in changes:
                    self._changed()
        except SubscriptionLost:
            return True
        except (ListenNotSupportedError, MCPError, ToolsUnavailable):
            return False
        except Exception as error:  # noqa: BLE001 - the boundary to the server: without this stream its list is polled
            logger.warning("no news of a list of tools: %s", self._words(error), extra={"action": "tools.no_news"})
            return False
        return True

    async def _hold(self, ready: asyncio.Future[None]) -> None:
        http = httpx2.AsyncClient(
            transport=self._transport, headers=dict(self.endpoint.headers), timeout=_TIMEOUTS, trust_env=False
        )
        try:
            async with http, self._new_client(http) as client:
                self._client = client
                ready.set_result(None)
                await self._retired.wait()
                await self._idle.wait()
        except Exception as error:  # noqa: BLE001 - the boundary to the server; a broken session is opened anew
            if not ready.done():
                ready.set_exception(ToolsUnavailable(self._words(error)))
                return
            logger.warning("an MCP session ended: %s", self._words(error), extra={"action": "tools.session_lost"})
            self._changed()

    def _new_client(self, http: httpx2.AsyncClient) -> Client:
        transport = streamable_http_client(self.endpoint.url, http_client=http)
        return Client(transport, cache=None, client_info=_WHO, message_handler=self._heard)

    async def _heard(self, message: object) -> None:
        if isinstance(message, mcp_types.ToolListChangedNotification):
            self._changed()

    def _connected(self) -> Client:
        if self._client is None or not self.is_open:
            raise ToolsUnavailable("The session with the server has ended.")
        return self._client

    def _words(self, error: BaseException) -> str:
        """What went wrong in one line: what the wire saw, else what the client says."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        said = self._transport.last_trouble or str(error) or type(error).__name__
        return said.partition("\n")[0][:500]
