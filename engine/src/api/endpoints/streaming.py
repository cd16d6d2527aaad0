"""A server-sent event stream as a response: a view that a client may leave at any moment."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from src.api.schemas.sse import MEDIA_TYPE

__all__ = ["EventStream", "open_stream"]

logger = logging.getLogger(__name__)

_HEADERS = {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

STALL_SECONDS = 20.0
"""A client that takes nothing for so long is let go; it comes back with the id of the last event that it got."""

Seat = Callable[[], AbstractContextManager[asyncio.Event]]
"""Taken while the stream is open; its event is set when the client may no longer see it."""


class EventStream(Response):
    """Sends `first`, then what `frames` brings, until it ends, the client leaves or stalls, the process closes, or
    its `seat` is barred: without an event of its own, for nothing happened to the run."""

    media_type = MEDIA_TYPE

    def __init__(
        self,
        first: bytes,
        frames: AsyncGenerator[bytes, None],
        closing: asyncio.Event,
        seat: Seat,
        status_code: int = 200,
        stall: float = STALL_SECONDS,
    ) -> None:
        super().__init__(status_code=status_code, headers=_HEADERS)
        del self.headers["content-length"]
        self._first = first
        self._frames = frames
        self._closing = closing
        self._seat = seat
        self._stall = stall
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._seat() as barred:
            await self._serve(receive, send, barred)
        logger.debug("A stream of %s ended", scope["path"], extra={"action": "stream.ended"})

    async def _serve(self, receive: Receive, send: Send, barred: asyncio.Event) -> None:
        pump = asyncio.create_task(self._pump(send), name="event-stream")
        gone = asyncio.create_task(_disconnected(receive), name="event-stream-client")
        closing = asyncio.create_task(self._closing.wait(), name="event-stream-closing")
        leaving = asyncio.create_task(barred.wait(), name="event-stream-seat")
        tasks = (pump, gone, closing, leaving)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if not pump.cancelled():
            pump.result()
        elif gone.cancelled() and self._begun:
            await self._sent(send, b"", more=False)

    async def _pump(self, send: Send) -> None:
        async with aclosing(self._frames) as frames:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            self._begun = True
            if not await self._sent(send, self._first):
                return
            async for frame in frames:
                if not await self._sent(send, frame):
                    return
        await self._sent(send, b"", more=False)

    async def _sent(self, send: Send, frame: bytes, *, more: bool = True) -> bool:
        try:
            async with asyncio.timeout(self._stall):
                await send({"type": "http.response.body", "body": frame, "more_body": more})
        except OSError:  # TimeoutError is one, and so is a connection that was closed
            return False
        return True


async def open_stream(frames: AsyncGenerator[bytes, None], closing: asyncio.Event, seat: Seat) -> EventStream:
    """The response for these frames. What the first one raises is raised here, while there can still be a status."""
    return EventStream(await anext(frames), frames, closing, seat)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
