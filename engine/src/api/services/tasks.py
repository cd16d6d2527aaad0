"""Tasks that outlive the request or the run that began them, and end with the process in good order."""

import asyncio
import contextvars
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

__all__ = ["Tasks"]


class Tasks:
    """Started in the context that was current when this was made, so no request's context leaks into them.

    Leaving the block waits `patience` seconds for those that must not be cancelled, and cancels the rest at once.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._context = contextvars.copy_context()
        self._cancellable: set[asyncio.Task[None]] = set()
        self._kept: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._cancellable:
            task.cancel()
        await asyncio.gather(*self._cancellable, return_exceptions=True)
        if self._kept:
            await asyncio.wait(self._kept, timeout=self._patience)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """A task that shutdown cancels."""
        return self._start(work, name, self._cancellable)

    def keep(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """A task that nothing cancels: a change that is on its way."""
        return self._start(work, name, self._kept)

    def _start(
        self, work: Coroutine[Any, Any, None], name: str, among: "set[asyncio.Task[None]]"
    ) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work, name=name, context=self._context.copy())
        among.add(task)
        task.add_done_callback(among.discard)
        return task
