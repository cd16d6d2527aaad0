"""What a session needs of a connection to a tool server, and a limit on how many messages it takes."""

import asyncio
from collections.abc import Callable
from typing import Protocol, Self

import anyio
import mcp_types
from anyio.abc import AsyncResource
from mcp.client import Transport
from mcp.shared.message import SessionMessage

from src.api.ports import Clock

__all__ = ["Link", "PacedStream"]

_Item = SessionMessage | Exception

_UNASKED_BURST, _UNASKED_PER_SECOND = 2_000, 500.0
_BURST, _PER_SECOND = 10_000, 10_000.0
_PAUSE = 0.02


class Link(Protocol):
    """A way to exchange messages with one server."""

    @property
    def last_error(self) -> str | None:
        """Describe its last failure."""

    @property
    def lost(self) -> asyncio.Event:
        """Set when it has ended by itself."""

    @property
    def is_exclusive(self) -> bool:
        """Whether it must have closed before another one to the same server opens."""

    def open(self) -> Transport: ...


class _ReadStream(Protocol):
    async def receive(self) -> _Item: ...
    async def aclose(self) -> None: ...


class PacedStream(AsyncResource):
    """Read a server's messages without letting a flood of them keep the engine busy.

    Beyond a burst of 2,000 and 500 a second, notifications and requests are dropped: progress and announcements of a
    changed list, which is read again anyway. Beyond 10,000 messages a second, dropped ones included, the server has to
    wait. `repair` is applied to each message.
    """

    def __init__(self, inner: _ReadStream, clock: Clock, repair: Callable[[_Item], _Item]) -> None:
        self._inner = inner
        self._clock = clock
        self._repair = repair
        self._unasked = _Allowance(_UNASKED_BURST, _UNASKED_PER_SECOND, clock)
        self._all = _Allowance(_BURST, _PER_SECOND, clock)

    @property
    def last_context(self) -> object:
        """The context in which the last message was sent, which the MCP client passes on to its handlers."""
        return getattr(self._inner, "last_context", None)

    async def receive(self) -> _Item:
        while True:
            await self._wait_for_turn()
            item = await self._inner.receive()
            if _is_answer(item) or self._unasked.take():
                return self._repair(item)

    async def aclose(self) -> None:
        await self._inner.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _Item:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def _wait_for_turn(self) -> None:
        while not self._all.take():
            await self._clock.sleep(_PAUSE)


class _Allowance:
    """A number of messages that grows with time up to a burst."""

    def __init__(self, burst: int, per_second: float, clock: Clock) -> None:
        self._burst, self._per_second, self._clock = burst, per_second, clock
        self._left, self._at = float(burst), clock.monotonic()

    def take(self) -> bool:
        now = self._clock.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def _is_answer(item: _Item) -> bool:
    """Whether this answers a request of ours, or reports that the transport failed."""
    if isinstance(item, Exception):
        return True
    return isinstance(item.message, mcp_types.JSONRPCResponse | mcp_types.JSONRPCError)
