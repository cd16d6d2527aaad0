"""What takes a second to import is loaded once the port is open; whoever asks for it earlier waits."""

import asyncio
import importlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

from src.api.ports import (
    Acting,
    Evidence,
    Preview,
    Progress,
    Settlement,
    ToolReply,
    ToolRequest,
    ToolServer,
    ToolSpec,
)
from src.api.schemas.base import JsonObject

__all__ = ["Late", "LateTools", "imported"]

T = TypeVar("T")

logger = logging.getLogger(__name__)


async def imported(module: str) -> None:
    """Imports in a thread, so that what is open already goes on answering."""
    await asyncio.to_thread(importlib.import_module, module)


class Late(Generic[T]):
    """A value that is made in the background. Calling it waits for the value, or raises what went wrong."""

    def __init__(self, make: Callable[[], Awaitable[T]]) -> None:
        self._make = make
        self._task: asyncio.Future[T] | None = None

    async def __call__(self) -> T:
        return await asyncio.shield(self._started())

    async def loaded(self) -> None:
        """Waits until it is there or has failed, which is logged: whoever needs it will be told."""
        await asyncio.wait([self._started()])
        if self._task is not None and not self._task.cancelled() and (error := self._task.exception()) is not None:
            logger.error("A part can't be loaded", exc_info=error, extra={"action": "loading.failed"})

    async def cancel(self) -> None:
        if self._task is not None and self._task.cancel():
            await asyncio.wait([self._task])

    @property
    def ready(self) -> bool:
        return self._task is not None and self._task.done()

    def _started(self) -> "asyncio.Future[T]":
        if self._task is None:
            self._task = asyncio.ensure_future(self._make())
        return self._task


class LateTools:
    """`ToolServer` that is still being loaded."""

    def __init__(self, late: Callable[[], Awaitable[ToolServer]]) -> None:
        self._late = late

    async def tools(self) -> Mapping[str, ToolSpec]:
        return await (await self._late()).tools()

    async def call(self, request: ToolRequest, progress: Progress | None = None) -> ToolReply:
        return await (await self._late()).call(request, progress)

    async def preview(self, spec: ToolSpec, args: str, acting: Acting | None = None) -> Preview | ToolReply:
        return await (await self._late()).preview(spec, args, acting)

    async def settle(self, server: str, approval_id: str) -> Settlement:
        return await (await self._late()).settle(server, approval_id)

    async def evidence(
        self, server: str, tool: str, args: str, preconditions: JsonObject | None, acting: Acting | None = None
    ) -> Evidence:
        return await (await self._late()).evidence(server, tool, args, preconditions, acting)
