"""Load slow imports after the port has opened; callers that need them earlier wait."""

import asyncio
import contextvars
import importlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from src.api.ports import ToolServer

__all__ = ["Lazy", "LazyProxy", "LazyToolServer", "forward", "import_in_thread"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

logger = logging.getLogger(__name__)


async def import_in_thread(module: str) -> None:
    """Import a module in a thread, so that the event loop keeps serving requests."""
    await asyncio.to_thread(importlib.import_module, module)


class Lazy(Generic[T]):
    """A value that is created in the background. Calling it waits for the value, or raises why it failed.

    It is created in the context of this object, not in that of the first request that needs it.
    """

    def __init__(self, make: Callable[[], Awaitable[T]]) -> None:
        self._make = make
        self._context = contextvars.copy_context()
        self._task: asyncio.Future[T] | None = None

    async def __call__(self) -> T:
        return await asyncio.shield(self._start())

    async def loaded(self) -> None:
        """Wait until the value is loaded or has failed. A failure is logged here and raised by every call."""
        await asyncio.wait([self._start()])
        if self._task is not None and not self._task.cancelled() and (error := self._task.exception()) is not None:
            logger.error("A part can't be loaded", exc_info=error, extra={"action": "loading.failed"})

    async def cancel(self) -> None:
        if self._task is not None and self._task.cancel():
            await asyncio.wait([self._task])

    @property
    def ready(self) -> bool:
        return self._task is not None and self._task.done()

    def _start(self) -> "asyncio.Future[T]":
        if self._task is None:
            self._task = self._context.copy().run(asyncio.ensure_future, self._make())
        return self._task


class LazyProxy(Generic[T]):
    """Base class of a stand-in whose methods, made with `forward`, wait for the object to load."""

    def __init__(self, load: Callable[[], Awaitable[T]]) -> None:
        self._load = load


def forward(
    method: Callable[Concatenate[T, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[LazyProxy[T], P], Coroutine[Any, Any, R]]:
    """Return a method with the same signature that calls the loaded object's method of that name."""

    async def call(self: LazyProxy[T], /, *args: P.args, **kwargs: P.kwargs) -> R:
        loaded: Callable[P, Awaitable[R]] = getattr(await self._load(), method.__name__)
        return await loaded(*args, **kwargs)

    return call


class LazyToolServer(LazyProxy[ToolServer]):
    """`ToolServer` that is still being loaded."""

    tools = forward(ToolServer.tools)
    omitted = forward(ToolServer.omitted)
    call = forward(ToolServer.call)
    preview = forward(ToolServer.preview)
    settle = forward(ToolServer.settle)
    evidence = forward(ToolServer.evidence)
