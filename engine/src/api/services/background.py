"""Background tasks: periodic loops, and tasks that outlive the request or run that started them."""

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, ClassVar, Self

from src.api.errors import Unavailable
from src.api.ports import Clock

__all__ = ["BackgroundLoop", "BackgroundTasks", "run_in_background", "run_periodically", "warn"]


class BackgroundTasks:
    """Start tasks in the context in which this object was created, so that no request's context leaks into them.

    A protected task runs in the context of its caller, whose work it continues.

    Leaving the `async with` block cancels tasks at once, and waits up to `shutdown_timeout` seconds for protected ones.
    """

    def __init__(self, shutdown_timeout: float) -> None:
        self._shutdown_timeout = shutdown_timeout
        self._context = contextvars.copy_context()
        self._cancellable: set[asyncio.Task[None]] = set()
        self._protected: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._cancellable:
            task.cancel()
        await asyncio.gather(*self._cancellable, return_exceptions=True)
        if self._protected:
            await asyncio.wait(self._protected, timeout=self._shutdown_timeout)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """Start a task that shutdown cancels."""
        return self._start(work, name, self._cancellable, self._context.copy())

    def spawn_protected(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """Start a task that nothing cancels, such as a change that has been sent."""
        return self._start(work, name, self._protected, contextvars.copy_context())

    def _start(
        self,
        work: Coroutine[Any, Any, None],
        name: str,
        group: "set[asyncio.Task[None]]",
        context: contextvars.Context,
    ) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work, name=name, context=context)
        group.add(task)
        task.add_done_callback(group.discard)
        return task


class BackgroundLoop:
    """Base class that runs `_loop` in a background task while its `async with` block is open."""

    task_name: ClassVar[str]
    _task: "asyncio.Task[None] | None" = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._loop(), name=self.task_name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _loop(self) -> None:
        raise NotImplementedError


@asynccontextmanager
async def run_in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run the work in a task while the block is open, then cancel it. Its errors are dropped."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def run_periodically(
    work: Callable[[], Awaitable[object]],
    clock: Clock,
    interval: Callable[[], float],
    on_unavailable: Callable[[Unavailable], None],
    *,
    wait_first: bool = False,
    enabled: asyncio.Event | None = None,
) -> None:
    """Do the work every `interval()` seconds until cancelled.

    `Unavailable` is passed to `on_unavailable` and the loop goes on; any other error ends it. While `enabled` is not
    set, nothing is done.
    """
    while True:
        if enabled is not None:
            await enabled.wait()
        if wait_first:
            await clock.sleep(interval())
        try:
            await work()
        except Unavailable as error:
            on_unavailable(error)
        if not wait_first:
            await clock.sleep(interval())


def warn(logger: logging.Logger, action: str) -> Callable[[Unavailable], None]:
    """Return a handler for `run_periodically` that logs each failure as a warning."""
    return lambda error: logger.warning(error.detail, extra={"action": action})
